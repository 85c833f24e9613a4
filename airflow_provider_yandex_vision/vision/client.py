"""One ``batchAnalyze`` call: prepared images in, results or one of the package's errors out."""

from __future__ import annotations

import json
import math
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_yandex_vision.vision import errors, wire
from airflow_provider_yandex_vision.vision.faults import Level, fault_of
from airflow_provider_yandex_vision.vision.models import CopySearchResult, PreparedImage, clean, utc_now

if TYPE_CHECKING:
    from airflow_provider_yandex_vision.vision.credentials import Credentials
    from airflow_provider_yandex_vision.vision.transport import Reply

DEFAULT_HOST = "https://vision.api.cloud.yandex.net"
PATH = "/vision/v1/batchAnalyze"
MAX_MESSAGE_CHARACTERS = 500
MAX_RETRY_AFTER = 24 * 60 * 60.0
"""Seconds. Airflow's scheduler cannot represent dates thousands of years ahead."""


class VisionClient:
    """Calls the service over kept-alive connections. Safe to share between threads.

    :param host: base URL.
    :param folder_id: sent only if set; a service account must not send it.
    :param timeout: seconds to wait for a whole reply. A request that timed out may have been billed.
    :param connect_timeout: seconds to wait for a connection.
    :param connections: requests in flight at once.
    """

    max_images_per_request = wire.MAX_IMAGES_PER_REQUEST
    envelope_bytes = wire.ENVELOPE_BYTES
    encode = staticmethod(wire.encode_image)

    def __init__(
        self,
        credentials: Credentials,
        *,
        host: str = DEFAULT_HOST,
        folder_id: str | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        connections: int = 8,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Importing requests takes longer than everything else, and processes that only parse DAGs never need it.
        from airflow_provider_yandex_vision.vision.transport import Transport

        self.host = host.rstrip("/")
        self.credentials_kind = credentials.kind
        self._folder_id = folder_id
        self._hide = credentials.hide
        self._now = now
        self._transport = Transport(credentials, self.host + PATH, (connect_timeout, timeout), connections, clock)

    @property
    def proxy(self) -> str | None:
        """Host and port of the proxy that requests go through."""
        return self._transport.proxy

    def batch_analyze(self, images: Sequence[PreparedImage]) -> list[CopySearchResult]:
        """Search for copies of 1 to 8 images in one request.

        :return: one result per image, in order. An image that the service cannot process is ``rejected``; an image
            that it could not search this time is ``failed``, with the service's code.
        :raises ServiceError: the whole request failed.
        """
        request_id = str(uuid.uuid4())
        body = wire.RequestBody([image.part for image in images], self._folder_id)
        try:
            reply = self._transport.post(body, {"x-client-request-id": request_id})
            if reply.status != 200:
                raise self._error(reply)
            results = wire.decode_reply(reply.payload, images, self._now(), self._hide)
            request_id = reply.headers.get("x-request-id") or request_id
            return [replace(result, request_id=request_id) for result in results]
        except errors.ServiceError as error:
            error.request_id = error.request_id or request_id
            error.uris = tuple(image.uri for image in images)
            raise

    def check_access(self) -> None:
        """Ask whether the service accepts the credentials, with a request that has no images and so costs nothing.

        With valid credentials the service is expected to reply that the request is invalid, with a code. A load
        balancer's page has no code and says nothing about the credentials.

        :raises ServiceError: any other reply.
        """
        try:
            self.batch_analyze(())
        except errors.InvalidRequestError as error:
            if error.code is None:
                raise

    def abort(self) -> None:
        """End the requests in flight; each raises :class:`UnavailableError` in its own thread."""
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()

    def _error(self, reply: Reply) -> errors.ServiceError:
        code, words = wire.decode_error(reply.payload, self._hide)
        message = (words or self._hide(_plain_text(reply.payload)) or "no explanation given")[:MAX_MESSAGE_CHARACTERS]
        kind = fault_of(Level.REQUEST, reply.status, code)
        if kind is errors.CopySearchOffError:
            message = f"{errors.COPY_SEARCH_OFF}, or the connection's host is wrong: {message}"
        if 300 <= reply.status < 400:
            message = "redirects are not followed; check the connection's host"
        if reply.status == 400 and "folder id" in message.lower():
            kind, message = errors.AccessError, f"{message}; clear folder_id in the connection"
        return kind(
            message,
            http_status=reply.status,
            code=code,
            request_id=reply.headers.get("x-request-id"),
            trace_id=reply.headers.get("x-server-trace-id"),
            retry_after=parse_retry_after(reply.headers.get("Retry-After"), self._now()),
        )


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait according to a ``Retry-After`` header (RFC 9110), at most a day; None if it is invalid."""
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


def _plain_text(payload: bytes) -> str:
    """The text of a reply that does not come from the service, such as a load balancer's HTML, on one line."""
    start = payload[:10_000].decode(json.detect_encoding(payload), errors="replace")
    start = re.sub(r"\\u([0-9a-fA-F]{4})", lambda escape: chr(int(escape[1], 16)), start)
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", start)
    return clean(" ".join(text.split()))
