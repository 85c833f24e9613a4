"""One request, one reply, as they are on the wire. No retries: each could be billed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from airflow_provider_yandex_vision.vision.client import PATH
from airflow_provider_yandex_vision.vision.errors import GRPC_CODES, printable
from airflow_provider_yandex_vision.vision.wire import RequestBody, decode_error, encode_image

MAX_REPLY_BYTES = 1_000_000
SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class Reply:
    """What came back.

    :param status: HTTP status; 0 if there was no reply.
    :param body: parsed JSON; None if it is not JSON.
    :param text: body, or the reason why there is none, short and safe to print.
    """

    status: int
    body: Any = None
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Name of the gRPC code in the body of an error, or an empty string."""
        return decode_error(json.dumps(self.body).encode())[0] or ""

    def results(self) -> list[dict[str, Any]]:
        """One object per image; empty unless the body is as documented."""
        results = self.body.get("results") if isinstance(self.body, dict) else None
        return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []

    def __str__(self) -> str:
        if not self.status:
            return self.text
        return f"HTTP {self.status}" if self.status == 200 else f"HTTP {self.status}, {self.code or self.text}"


class NoRedirects(HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


class LiveService:
    """The service at a host.

    :param host: base URL.
    :param timeout: seconds to wait for a reply.
    """

    def __init__(self, host: str, api_key: str, timeout: float = 120.0) -> None:
        self._url = host.rstrip("/") + PATH
        self._api_key = api_key
        self._timeout = timeout
        self.billed = 0
        """Images that the replies say were searched."""
        self._open = build_opener(NoRedirects).open

    def ask(self, images: Sequence[bytes], *, api_key: str | None = None) -> Reply:
        """Search for copies of images in one request, whatever they are and however many.

        :param api_key: instead of the right one.
        """
        body = b"".join(RequestBody([encode_image(image, _mime_type(image)) for image in images]))
        headers = {
            "Authorization": f"Api-Key {api_key or self._api_key}",
            "Content-Type": "application/json",
            "x-client-request-id": str(uuid.uuid4()),
        }
        reply = self._send(Request(self._url, body, headers))
        self.billed += sum(annotation_of(result) is not None for result in reply.results())
        return reply

    def _send(self, request: Request) -> Reply:
        try:
            with self._open(request, timeout=self._timeout) as reply:
                return self._read(reply)
        except HTTPError as error:
            with error:
                return self._read(error)
        except (OSError, HTTPException) as error:
            return Reply(0, text=self._show(f"no reply: {error}"))

    def _read(self, reply: Any) -> Reply:
        payload = reply.read(MAX_REPLY_BYTES)
        text = payload.decode(errors="replace").replace(self._api_key, "***")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Reply(reply.status, body, self._show(text), headers)

    def _show(self, text: str) -> str:
        return printable(text.replace(self._api_key, "***"))[:SHOWN_CHARACTERS]


def _mime_type(image: bytes) -> str:
    return "image/jpeg" if image.startswith(b"\xff\xd8\xff") else "image/png"


def feature_of(result: dict[str, Any]) -> dict[str, Any]:
    """The only feature asked for; empty if the service did not get so far."""
    features = result.get("results")
    feature = features[0] if isinstance(features, list) and features else {}
    return feature if isinstance(feature, dict) else {}


def annotation_of(result: dict[str, Any]) -> dict[str, Any] | None:
    """The answer about an image; None if it was not searched."""
    annotation = feature_of(result).get("imageCopySearch")
    return annotation if isinstance(annotation, dict) else None


def error_of(result: dict[str, Any]) -> str:
    """The error of an image and its level, such as ``INVALID_ARGUMENT "Can't decode Image", for the file``."""
    for level, name in ((result, "file"), (feature_of(result), "feature")):
        error = level.get("error")
        if isinstance(error, dict):
            code = error.get("code")
            words = f'{GRPC_CODES.get(code, code) if isinstance(code, int) else code} "{error.get("message", "")}"'
            return f"{printable(words)[:SHOWN_CHARACTERS]}, for the {name}"
    return ""
