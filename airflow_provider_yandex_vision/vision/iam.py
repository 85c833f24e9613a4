"""IAM tokens: from the metadata service of a machine, or in exchange for an authorized key.

See the vendor's pages "Getting an IAM token for a service account" and "Working with a VM from inside". Errors never
quote a key, a token or a JWT.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import jwt
import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from urllib3.exceptions import HTTPError

from airflow_provider_yandex_vision.vision.calls import Calls
from airflow_provider_yandex_vision.vision.credentials import IAM_ENDPOINT, Token, fits_header, without
from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    ServiceError,
    UnavailableError,
)
from airflow_provider_yandex_vision.vision.transport import (
    WatchedAdapter,
    environment_settings,
    read_reply,
    root_cause,
)
from airflow_provider_yandex_vision.vision.wire import decode_error

METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
METADATA_ADDRESS = "169.254.169.254"
IAM_PATH = "/iam/v1/tokens"
TIMEOUTS = (5.0, 10.0)
JWT_SECONDS = 60 * 60

KEY_FIELDS = ("id", "service_account_id", "private_key")
OTHER_KEYS = {
    "client_email": "a key of Google Cloud",
    "api_key": "an API key: put its secret into the password field",
    "access_key": "a static access key, which is for Object Storage",
}
"""Fields of other key files, and what these are."""


def metadata_token() -> Token:
    """A token of the service account that is linked to this machine or cluster.

    The environment variable ``YC_METADATA_ADDR`` sets another address of the metadata service.

    :raises AuthenticationError: no service account is linked.
    :raises TransientError: the metadata service does not reply, or not with a token.
    """
    address = os.environ.get("YC_METADATA_ADDR") or METADATA_ADDRESS
    request = requests.Request("GET", f"http://{address}{METADATA_PATH}", headers={"Metadata-Flavor": "Google"})
    service = f"the metadata service at {address}"
    reply = _ask(service, request, advice="link a service account to this machine", proxies=False)
    seconds = reply.get("expires_in")
    return _token(service, reply.get("access_token"), seconds if isinstance(seconds, (int, float)) else 0)


class AuthorizedKey:
    """The authorized key of a service account, as the vendor's console and CLI write it.

    :param text: JSON with ``id``, ``service_account_id`` and ``private_key``.
    :param endpoint: base URL of IAM.
    :param mask: masks the private key and each JWT in logs.
    :raises ConfigurationError: not an authorized key.
    """

    def __init__(
        self,
        text: str,
        *,
        endpoint: str = IAM_ENDPOINT,
        mask: Callable[[str], object] = lambda secret: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        fields = _parse(text)
        self.account = fields["service_account_id"]
        self._id = fields["id"]
        self._key = _load(fields["private_key"], mask)
        self._endpoint = endpoint.rstrip("/")
        self._mask = mask
        self._now = now

    def token(self) -> Token:
        """Exchange a JWT, signed with the key, for a token.

        :raises AuthenticationError: IAM does not accept the key.
        :raises TransientError: IAM does not reply, or not with a token.
        """
        now = self._now()
        claims = {
            "iss": self.account,
            "aud": IAM_ENDPOINT + IAM_PATH,
            "iat": int(now),
            "exp": int(now) + JWT_SECONDS,
        }
        signed = jwt.encode(claims, self._key, algorithm="PS256", headers={"kid": self._id})
        self._mask(signed)
        request = requests.Request("POST", self._endpoint + IAM_PATH, json={"jwt": signed})
        service = f"IAM at {self._endpoint}"
        reply = _ask(service, request, advice="check the key and this machine's clock", proxies=True, secrets=[signed])
        try:
            # Python 3.10 reads neither nanoseconds nor the Z.
            expires = datetime.fromisoformat(f"{str(reply.get('expiresAt'))[:19]}+00:00").timestamp()
        except ValueError:
            expires = 0.0
        return _token(service, reply.get("iamToken"), expires - now)


def _parse(text: str) -> dict[str, str]:
    try:
        key = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError("the authorized key is not JSON: use the whole file") from None
    if not isinstance(key, dict):
        raise ConfigurationError("the authorized key is not a JSON object: use the whole file")
    for field, found in OTHER_KEYS.items():
        if field in key:
            raise ConfigurationError(f"this is not an authorized key but {found}")
    missing = [name for name in KEY_FIELDS if not isinstance(key.get(name), str) or not key[name]]
    if missing:
        raise ConfigurationError(
            f"the authorized key has no {', '.join(missing)}: create one with `yc iam key create --output key.json`"
        )
    return key


def _load(text: str, mask: Callable[[str], object]) -> RSAPrivateKey:
    """:param text: a PEM block, which may follow a preamble such as a warning not to edit the file."""
    pem = text[max(text.find("-----BEGIN"), 0) :].strip()
    # Line by line too, since JSON shows the breaks between them as "\\n".
    for secret in (pem, *(line for line in pem.split() if len(line) > 16)):
        mask(secret)
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError("private_key of the authorized key is not an RSA key in PEM: create a new key")
    return key


def _ask(
    service: str, request: requests.Request, *, advice: str, proxies: bool, secrets: Sequence[str] = ()
) -> dict[str, Any]:
    """A reply that is a JSON object.

    :param service: for messages.
    :param advice: what to do if the request is refused.
    :param proxies: use those of the environment.
    :param secrets: hidden if the reply or an error echoes them.
    """
    calls = Calls()

    def hide(text: str) -> str:
        return without(text, *secrets)

    request.headers["Accept-Encoding"] = "identity"
    # Keeps ~/.netrc out.
    request.auth = lambda prepared: prepared
    with requests.Session() as session, calls.call(service, sum(TIMEOUTS)) as call:
        for scheme in ("https://", "http://"):
            session.mount(scheme, WatchedAdapter(1, calls))
        session.trust_env = proxies
        try:
            settings = environment_settings(session, request.url)
            prepared = session.prepare_request(request)
            with session.send(prepared, timeout=TIMEOUTS, allow_redirects=False, **settings) as reply:
                status, payload = reply.status_code, read_reply(reply)
            if status == 200:
                return _object(service, payload)
            words = decode_error(payload, hide)[1] or "no explanation given"
            problem: ServiceError = UnavailableError(f"{service} failed: {words}", http_status=status)
            if status in (400, 401, 403, 404):
                problem = AuthenticationError(f"{service} refused: {words}; {advice}", http_status=status)
        except (requests.RequestException, HTTPError, OSError, EOFError, zlib.error) as error:
            reason = call.over or hide(root_cause(error))
            problem = UnavailableError(f"no reply from {service}: {reason}")
    # Raised here it has no context, which could quote the reply.
    raise problem


def _object(service: str, payload: bytes) -> dict[str, Any]:
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UnavailableError(f"the reply of {service} is not a JSON object")
    return content


def _token(service: str, value: Any, seconds: float) -> Token:
    if not isinstance(value, str) or not fits_header(value) or not 0 < seconds < float("inf"):
        raise UnavailableError(f"the reply of {service} has no valid token")
    return Token(value, seconds)
