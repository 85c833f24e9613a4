"""One ``batchAnalyze`` call: HTTP in, results or an error of our tree out."""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_yandex_vision.vision.checks import CheckedImage
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    AuthenticationError,
    FolderMismatchError,
    InvalidRequestError,
    PermissionDeniedError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)
from airflow_provider_yandex_vision.vision.messages import CopySearchResult, RequestBody, clean
from airflow_provider_yandex_vision.vision.pacing import Clock
from airflow_provider_yandex_vision.vision.replies import decode_error, decode_reply

if TYPE_CHECKING:
    import requests

    from airflow_provider_yandex_vision.vision.transport import Reply

DEFAULT_HOST = "https://vision.api.cloud.yandex.net"
PATH = "/vision/v1/batchAnalyze"
MAX_MESSAGE_CHARACTERS = 500
MAX_RETRY_AFTER = 24 * 60 * 60.0
"""Seconds. With a wait of thousands of years Airflow's scheduler would reach no date and fail."""

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
        clock: Clock = time.monotonic,
    ) -> None:
        from airflow_provider_yandex_vision.vision.transport import Transport

        self.host = host.rstrip("/")
        self._folder_id = folder_id
        self._now = now
        self._transport = Transport(api_key, self.host + PATH, (connect_timeout, timeout), connections, session, clock)

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
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()

    def _post(self, body: RequestBody) -> bytes:
        request_id = str(uuid.uuid4())
        try:
            reply = self._transport.post(body, {"x-client-request-id": request_id})
        except UnavailableError as error:
            raise UnavailableError(
                f"{self.host} could not be asked: {error.message}",
                http_status=error.http_status,
                request_id=request_id,
            ) from None
        except ServiceError as error:
            error.request_id = request_id
            raise
        if reply.status != 200:
            raise self._refusal(reply, request_id)
        return reply.payload

    def _refusal(self, reply: Reply, request_id: str) -> ServiceError:
        code, words = decode_error(reply.payload)
        message = (words or _plain(reply.payload) or "no explanation given")[:MAX_MESSAGE_CHARACTERS]
        kind = ERRORS.get(reply.status, UnavailableError if reply.status >= 500 else AccessError)
        if 300 <= reply.status < 400:
            message = "redirects are not followed; check the connection's host"
        if reply.status == 400 and "folder id" in message.lower():
            kind, message = FolderMismatchError, f"{message}; clear folder_id in the connection"
        return kind(
            message,
            http_status=reply.status,
            code=code,
            request_id=reply.headers.get("x-request-id", request_id),
            trace_id=reply.headers.get("x-server-trace-id"),
            retry_after=parse_retry_after(reply.headers.get("Retry-After"), self._now()),
        )


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, a day at most, by a ``Retry-After`` header (RFC 9110); None where it makes no sense."""
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
    return min(max(0.0, seconds), MAX_RETRY_AFTER) if math.isfinite(seconds) else None


def _plain(payload: bytes) -> str:
    """The words of a reply that is not the service's, such as a balancer's HTML, fit for one line."""
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", payload[:10_000].decode(errors="replace"))
    return clean(" ".join(text.split()))
