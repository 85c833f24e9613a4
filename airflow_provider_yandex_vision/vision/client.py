"""One ``batchAnalyze`` call: HTTP in, results or an error of our tree out."""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from airflow_provider_yandex_vision.vision.checks import CheckedImage
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    AuthenticationError,
    FolderMismatchError,
    InvalidRequestError,
    PermissionDeniedError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)
from airflow_provider_yandex_vision.vision.messages import (
    CopySearchResult,
    RequestBody,
    clean,
    decode_error,
    decode_reply,
)
from airflow_provider_yandex_vision.vision.transport import AbortableAdapter, ApiKeyAuth

DEFAULT_HOST = "https://vision.api.cloud.yandex.net"
PATH = "/vision/v1/batchAnalyze"
MAX_REPLY_BYTES = 32 * 1024 * 1024
MAX_MESSAGE_CHARACTERS = 500

ERRORS: dict[int, type[ServiceError]] = {
    400: InvalidRequestError,
    413: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    408: UnavailableError,
    429: ThrottledError,
}


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class VisionClient:
    """Talks to the service with one API key over kept-alive connections. Safe to share between threads.

    :param api_key: of a service account; sent as ``Authorization: Api-Key …`` and nowhere else.
    :param host: base URL.
    :param folder_id: sent only where set; a service account's key must not send it.
    :param timeout: seconds to wait for a whole reply. A request that timed out may have been billed: wait long enough.
    :param connect_timeout: seconds to wait for a connection.
    :param connections: requests that may be under way at once.
    """

    def __init__(
        self,
        api_key: str,
        *,
        host: str = DEFAULT_HOST,
        folder_id: str | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        connections: int = 8,
        session: requests.Session | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host.rstrip("/")
        self._folder_id = folder_id
        self._timeout = (connect_timeout, timeout)
        self._auth = ApiKeyAuth(api_key)
        self._now = now
        self._clock = clock
        self._adapter = AbortableAdapter(connections)
        self._session = session or requests.Session()
        if session is None:
            self._session.mount("https://", self._adapter)
            self._session.mount("http://", self._adapter)
            self._read_environment()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host!r})"

    def batch_analyze(self, images: Sequence[CheckedImage]) -> list[CopySearchResult]:
        """Search for copies of 1 to 8 images in one request.

        :return: one result an image, in order. An image that the service cannot take is ``rejected``,
            one that it could not search now is ``failed`` with the service's code.
        :raises ServiceError: the request as a whole came to nothing.
        """
        body = RequestBody([image.spec for image in images], self._folder_id)
        try:
            payload = self._post(body)
            searched_at = self._now()
            answers = decode_reply(payload, len(images))
        except ServiceError as error:
            error.uris = tuple(image.image.uri for image in images)
            raise
        return [image.result(answer, searched_at) for image, answer in zip(images, answers, strict=True)]

    def check_access(self) -> None:
        """Ask whether the service lets this key in, with a request that carries no image and so costs nothing.

        A good key is expected to be told that the request is invalid, in the service's own words: a balancer's
        page, which has no code, says nothing about the key.

        :raises ServiceError: anything else than that, or an empty answer, came back.
        """
        try:
            decode_reply(self._post(RequestBody((), self._folder_id)), expected=0)
        except InvalidRequestError as error:
            if error.code is None:
                raise

    def abort(self) -> None:
        """End the requests in flight; each raises :class:`UnavailableError` in its own thread."""
        self._adapter.abort()

    def close(self) -> None:
        self._session.close()

    def _read_environment(self) -> None:
        """Proxies and certificates, once: a session would go through all variables for every request."""
        settings = self._session.merge_environment_settings(self.host, {}, None, None, None)
        self._session.proxies, self._session.verify = settings["proxies"], settings["verify"]
        self._session.trust_env = False

    def _post(self, body: RequestBody) -> bytes:
        request_id = str(uuid.uuid4())
        deadline = self._clock() + sum(self._timeout)
        try:
            with self._session.post(
                self.host + PATH,
                data=body,
                headers={"Content-Type": "application/json", "x-client-request-id": request_id},
                auth=self._auth,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as reply:
                payload = self._read(reply, deadline)
        except ServiceError as error:
            error.request_id = error.request_id or request_id
            raise
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._no_reply(error, request_id) from None
        payload = self._auth.hide(payload)
        if reply.status_code != 200:
            raise self._refusal(reply.status_code, reply.headers, payload, request_id)
        return payload

    def _read(self, reply: requests.Response, deadline: float) -> bytes:
        """The reply's body, bounded in bytes (also when it is packed) and in time (also when it drips)."""
        payload = bytearray()
        # Not iter_content: that waits for a whole chunk, and so for ever where the reply drips.
        while chunk := reply.raw.read1(64 * 1024, decode_content=True):
            payload += chunk
            if len(payload) > MAX_REPLY_BYTES:
                raise ProtocolError(f"the reply is over {MAX_REPLY_BYTES:,} bytes", http_status=reply.status_code)
            if self._clock() > deadline:
                raise UnavailableError("the reply did not end in time", http_status=reply.status_code)
        return bytes(payload)

    def _no_reply(self, error: Exception, request_id: str) -> UnavailableError:
        timed_out = isinstance(error, (requests.ReadTimeout, ReadTimeoutError))
        what = "no reply in time" if timed_out else _root_cause(error)
        return UnavailableError(f"{self.host} could not be asked: {what}", request_id=request_id)

    def _refusal(self, status: int, headers: Mapping[str, str], payload: bytes, request_id: str) -> ServiceError:
        code, words = decode_error(payload)
        message = (words or _plain(payload) or "no explanation given")[:MAX_MESSAGE_CHARACTERS]
        kind = ERRORS.get(status, UnavailableError if status >= 500 else AccessError)
        if 300 <= status < 400:
            message = "redirects are not followed; check the connection's host"
        if status == 400 and "folder id" in message.lower():
            kind, message = FolderMismatchError, f"{message}; clear folder_id in the connection"
        return kind(
            message,
            http_status=status,
            code=code,
            request_id=headers.get("x-request-id", request_id),
            trace_id=headers.get("x-server-trace-id"),
            retry_after=parse_retry_after(headers.get("Retry-After"), self._now()),
        )


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a ``Retry-After`` header (RFC 9110): seconds or a date; None where it makes no sense."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or timezone.utc) - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _plain(payload: bytes) -> str:
    """The words of a reply that is not the service's, such as a balancer's HTML, fit for one line."""
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", payload[:10_000].decode(errors="replace"))
    return clean(" ".join(text.split()))


def _root_cause(error: BaseException) -> str:
    """Innermost reason; the outer layers repeat URLs and object addresses."""
    inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    reason = getattr(error, "reason", None)
    deeper = reason if isinstance(reason, BaseException) else inner or error.__cause__
    if deeper is not None:
        return _root_cause(deeper)
    return str(error).rpartition(": ")[2] or type(error).__name__
