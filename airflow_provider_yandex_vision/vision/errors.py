"""Every error that this package raises, in one tree.

::

    YandexVisionError
    ├── ConfigurationError          a wrong argument, connection or table, or no images; nothing was sent
    │   └── TableError              the results table is missing, has another shape, or cannot be created
    ├── ImageError                  one image failed; it becomes that image's row
    │   ├── ImageRejectedError      the content is at fault: not an image, too large
    │   └── ImageUnreadableError    the storage did not return the content; a later attempt may work
    ├── ServiceError                the service failed, or something on the way to it
    │   ├── AccessError             no retry and no other image helps: wrong key, folder or host
    │   │   ├── AuthenticationError       the key is wrong
    │   │   ├── PermissionDeniedError     the key is valid, the role is missing
    │   │   └── CopySearchOffError        the service seems to have given up copy search
    │   ├── InvalidRequestError     the request was rejected: an image in it, or its size, is at fault
    │   └── TransientError          a retry may work
    │       ├── ThrottledError            a rate or a quota was exceeded
    │       ├── UnavailableError          no connection, or the service is down
    │       │   └── LostReplyError              the request was sent and may have been billed, but there is no reply
    │       └── ProtocolError             the reply breaks the contract; the request may have been billed
    ├── StorageError                the storage of the images hangs
    ├── DatabaseError               results could not be written or read
    ├── OutputError                 a report could not be written
    ├── SearchStoppedError          the search was stopped before it was complete
    ├── FailedImagesError           too many images ended ``failed``
    └── CountError                  images and rows do not add up: a bug in this package
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CODE_NAMES = """
CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED
FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED
"""
GRPC_CODES = dict(enumerate(CODE_NAMES.split(), start=1))
"""Names of the service's status codes, as numbered in ``google/rpc/code.proto``."""

GONE, STILL_GONE = "GONE", "STILL_GONE"
"""Codes of an image that does not exist: since this run, or already in a run before."""

SHOWN_IMAGES = 3

COPY_SEARCH_OFF = "copy search seems to be off"

_FOLD_MARKER = re.compile(r"(::|##\[)(end)?group(?=::|\])")
"""Airflow's log viewer interprets it anywhere in a line."""


def printable(text: str) -> str:
    """Untrusted text made safe for a log: it stays on one line, moves no cursor and folds no lines."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return _FOLD_MARKER.sub(r"\1\\\2group", shown)


class YandexVisionError(Exception):
    """Root of the tree. Its text is safe to log; ``message`` is the original."""

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return printable(self.message)


class ConfigurationError(YandexVisionError, ValueError):
    """Raised before anything is sent or billed."""


class TableError(ConfigurationError):
    """The results table cannot be used."""


class ImageError(YandexVisionError):
    """One image failed.

    :param code: short constant for the ``error_code`` column, such as ``NOT_AN_IMAGE``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, code)
        self.code = code


class ImageRejectedError(ImageError):
    """Searching the same bytes again is pointless."""


class ImageUnreadableError(ImageError):
    """The storage did not return the content."""

    def __init__(self, message: str, code: str = "UNREADABLE") -> None:
        super().__init__(message, code)


class ServiceError(YandexVisionError):
    """A request failed.

    :param http_status: of the reply; None if there was none.
    :param code: gRPC name of the service's own code, such as ``RESOURCE_EXHAUSTED``.
    :param request_id: ``x-request-id`` of the reply, or else of the request, for the vendor's support.
    :param trace_id: ``x-server-trace-id`` of the reply.
    :param retry_after: seconds the service asked to wait.
    :param uris: images in the request.
    """

    may_be_billed = False
    """Whether the service may have analyzed the images all the same."""

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        trace_id: str | None = None,
        retry_after: float | None = None,
        uris: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.code = code
        self.request_id = request_id
        self.trace_id = trace_id
        self.retry_after = retry_after
        self.uris = tuple(uris)

    def __str__(self) -> str:
        more = len(self.uris) - SHOWN_IMAGES
        facts = {
            "HTTP ": self.http_status,
            "": self.code,
            "request id ": self.request_id,
            "trace id ": self.trace_id,
            "images ": ", ".join(self.uris[:SHOWN_IMAGES]) + (f" and {more} more" if more > 0 else ""),
        }
        known = ", ".join(f"{name}{value}" for name, value in facts.items() if value)
        return printable(f"{self.message} ({known})" if known else self.message)


class AccessError(ServiceError):
    """The service does not accept this connection, or redirects it."""


class AuthenticationError(AccessError):
    """HTTP 401: the API key is wrong, deleted or disabled."""


class PermissionDeniedError(AccessError):
    """HTTP 403: the service account lacks the role ``ai.vision.user``."""


class CopySearchOffError(AccessError):
    """HTTP 404, code 12, or no copies at all of images that had some: the service does not search for copies."""


class InvalidRequestError(ServiceError):
    """HTTP 400 or 413."""


class TransientError(ServiceError):
    """A retry may work."""


class ThrottledError(TransientError):
    """HTTP 429 or code 8."""


class UnavailableError(TransientError):
    """No connection, HTTP 5xx, or another status that is not the service's."""


class LostReplyError(UnavailableError):
    """The request was sent as a whole, and no reply came in time, or not all of it."""

    may_be_billed = True


class ProtocolError(TransientError):
    """The reply is not JSON, is truncated, or breaks the contract."""

    may_be_billed = True


class StorageError(YandexVisionError):
    """Too many reads of images do not end."""


class DatabaseError(YandexVisionError):
    """Results could not be written or read. What was committed stays, so that another attempt can resume."""


class OutputError(YandexVisionError):
    """A report could not be written."""


class SearchStoppedError(YandexVisionError):
    """Another thread or a signal stopped the search."""


class FailedImagesError(YandexVisionError):
    """More images ended ``failed`` than the task accepts."""


class CountError(YandexVisionError):
    """Images and rows do not add up."""
