"""Yandex Cloud on 127.0.0.1: the metadata service, IAM, and a ``batchAnalyze`` that checks credentials."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt

from tests.support.loopback import Loopback, Request, reply
from tests.support.secrets import ACCOUNT, API_KEY, IAM_TOKEN, KEY_ID, private_key

AUDIENCE = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
METADATA = "GET /computeMetadata/v1/instance/service-accounts/default/token "
IAM = "POST /iam/v1/tokens "
SEARCH = "POST /vision/v1/batchAnalyze "
NO_COPIES: dict[str, Any] = {"results": [{"imageCopySearch": {}}]}


class Cloud:
    """Accepts the API key and the current token.

    :param status: of the replies to requests for a token.
    :param lifetime: seconds, of a token from the metadata service.
    :param expires_at: of a token from IAM.
    """

    def __init__(self) -> None:
        self.status = 200
        self.lifetime: Any = 12 * 60 * 60
        self.expires_at: Any = "2099-01-01T00:00:00.123456789Z"
        self.token = f"{IAM_TOKEN}-1"
        self.claims: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.rejected = 0
        self.searched = 0
        self._lock = threading.Lock()
        self.server = Loopback(self._handle)
        self.address = f"127.0.0.1:{self.server.port}"
        self.url = f"http://{self.address}"

    @property
    def tokens_issued(self) -> int:
        return sum(head.startswith((METADATA, IAM)) for head in self.requests)

    def replace_token(self) -> None:
        """Reject the current token from now on."""
        name, _, number = self.token.rpartition("-")
        self.token = f"{name}-{int(number) + 1}"

    def searched_images(self, count: int) -> None:
        """Called for each request that is accepted."""
        self.searched += count

    def _handle(self, connection: socket.socket, request: Request) -> None:
        with self._lock:
            self.requests.append(request.head)
            status, content = self._answer(request)
        connection.sendall(reply(json.dumps(content).encode(), status=f"{status} Status"))

    def _answer(self, request: Request) -> tuple[int, object]:
        if request.head.startswith(METADATA) and "\nMetadata-Flavor: Google" in request.head:
            token = {"access_token": self.token, "expires_in": self.lifetime, "token_type": "Bearer"}
            return self.status, token if self.status == 200 else {"message": f"metadata says {self.status}"}
        if request.head.startswith(IAM):
            return self._exchange(json.loads(request.body)["jwt"])
        if request.head.startswith(SEARCH):
            return self._search(request)
        return 404, {"message": "no such page"}

    def _exchange(self, signed: str) -> tuple[int, object]:
        try:
            assert jwt.get_unverified_header(signed) == {"typ": "JWT", "alg": "PS256", "kid": KEY_ID}
            claims = jwt.decode(
                signed,
                private_key().public_key(),
                algorithms=["PS256"],
                audience=AUDIENCE,
                issuer=ACCOUNT,
                options={"require": ["exp", "iat"], "verify_exp": False, "verify_iat": False},
            )
            assert claims["iat"] < claims["exp"] <= claims["iat"] + 60 * 60
        except (AssertionError, jwt.InvalidTokenError) as error:
            return 401, {"code": 16, "message": f"wrong JWT {signed}: {error!r}"}
        self.claims.append(claims)
        if self.status != 200:
            return self.status, {"code": 14, "message": f"IAM says {self.status}, JWT {signed}"}
        return 200, {"iamToken": self.token, "expiresAt": self.expires_at}

    def _search(self, request: Request) -> tuple[int, object]:
        sent = next(line for line in request.head.splitlines() if line.startswith("Authorization: "))
        if sent not in (f"Authorization: Api-Key {API_KEY}", f"Authorization: Bearer {self.token}"):
            self.rejected += 1
            return 401, {"code": 16, "message": f"unknown {sent}"}
        count = request.body.count(b'"content"')
        if not count:
            return 400, {"code": 3, "message": "analyze_specs: 1-8"}
        self.searched_images(count)
        return 200, {"results": [NO_COPIES] * count}


@contextmanager
def running_cloud() -> Iterator[Cloud]:
    cloud = Cloud()
    try:
        yield cloud
    finally:
        cloud.server.close()
