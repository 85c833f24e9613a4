"""Every error this package raises, in one tree.

::

    YandexVisionError
    ├── ConfigurationError          an argument, a connection or a table is wrong; nothing was sent
    │   ├── NoImagesError           the pattern matched nothing, the folder is empty or missing
    │   ├── TooManyImagesError      more results than XCom should carry
    │   └── TableError              the table is missing, of another shape, or cannot be made
    ├── ImageError                  one image is at fault; it becomes that image's row
    │   ├── ImageRejectedError      these bytes will never do: not an image, too large
    │   └── ImageUnreadableError    the storage did not give the bytes; another time it may
    ├── ServiceError                the service, or the way to it, answered with trouble
    │   ├── AccessError             no retry and no other image helps
    │   │   ├── AuthenticationError       the key is wrong
    │   │   ├── PermissionDeniedError     the key is right, the role is missing
    │   │   └── FolderMismatchError       folder_id belongs to somebody else
    │   ├── InvalidRequestError     the request was refused: one image of it, or its size, is at fault
    │   └── TransientError          trying again may work
    │       ├── ThrottledError            a rate or a quota was exceeded
    │       ├── UnavailableError          no reply, or the service is in trouble
    │       └── ProtocolError             a reply that does not say what the contract promises
    └── RunError                    the run as a whole did not come out right
        ├── DatabaseError           the database did not take the results, or give them back
        ├── SearchStoppedError      the search was closed while its results were awaited
        ├── FailedImagesError       images ended ``failed``, and the run was told to mind
        └── CountError              rows and images do not add up: a defect of this package
"""

from __future__ import annotations

import re
from collections.abc import Sequence

GRPC_CODES = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}
"""Names of the status codes the service uses at every level (``google/rpc/code.proto``)."""

SHOWN_IMAGES = 3

_FOLD_MARKER = re.compile(r"(::|##\[)(end)?group(?=::|\])")
"""Wherever it stands in a line, Airflow's log viewer takes it for its own."""


def printable(text: str) -> str:
    """Text of others made fit for a log: it stays in its line, moves no cursor and folds no lines away."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return _FOLD_MARKER.sub(r"\1\\\2group", shown)


class YandexVisionError(Exception):
    """Root of the tree: catch this to catch everything this package raises.

    Its text is fit for a log, whoever's words are in it; ``message`` has them as they came.
    """

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return printable(self.message)


class ConfigurationError(YandexVisionError, ValueError):
    """An argument, a connection or a table is wrong. Nothing was sent, nothing was paid."""


class NoImagesError(ConfigurationError):
    """There is nothing to search: an empty folder, a missing one, a pattern without a match."""


class TooManyImagesError(ConfigurationError):
    """More images than may be returned through XCom; give a table."""


class TableError(ConfigurationError):
    """The results table is missing, has another shape, or cannot be created."""


class ImageError(YandexVisionError):
    """One image is at fault.

    :param code: short constant for the ``error_code`` column, such as ``NOT_AN_IMAGE``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, code)
        self.code = code


class ImageRejectedError(ImageError):
    """The bytes themselves will never do; searching them again is pointless."""


class ImageUnreadableError(ImageError):
    """The storage did not hand over the bytes."""

    def __init__(self, message: str, code: str = "UNREADABLE") -> None:
        super().__init__(message, code)


class ServiceError(YandexVisionError):
    """The service, or something on the way to it, answered with trouble.

    :param http_status: HTTP status of the reply; None where there was none.
    :param code: gRPC name of the service's own code, such as ``RESOURCE_EXHAUSTED``.
    :param request_id: ``x-request-id`` of the reply, to quote to the vendor's support.
    :param trace_id: ``x-server-trace-id`` of the reply.
    :param retry_after: seconds the service asked to wait; None where it did not say.
    :param uris: the images that the request carried.
    """

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
        facts = [
            f"HTTP {self.http_status}" if self.http_status else "",
            self.code or "",
            f"request id {self.request_id}" if self.request_id else "",
            f"trace id {self.trace_id}" if self.trace_id else "",
            f"images {_shorten(self.uris)}" if self.uris else "",
        ]
        known = ", ".join(fact for fact in facts if fact)
        return printable(f"{self.message} ({known})" if known else self.message)


class AccessError(ServiceError):
    """The service will not serve this connection: its key, folder or host. No retry and no other image helps."""


class AuthenticationError(AccessError):
    """HTTP 401: the API key is wrong, deleted or disabled."""


class PermissionDeniedError(AccessError):
    """HTTP 403: the key is known, its service account lacks the role ``ai.vision.user``."""


class FolderMismatchError(AccessError):
    """HTTP 400 that is about ``folder_id``, not about an image."""


class InvalidRequestError(ServiceError):
    """HTTP 400 or 413: one image of the request, or its size, is at fault."""


class TransientError(ServiceError):
    """Trying again may work."""


class ThrottledError(TransientError):
    """HTTP 429 or code 8: more requests than the rate or the quota allows."""


class UnavailableError(TransientError):
    """No connection, no reply in time, or an HTTP 5xx."""


class ProtocolError(TransientError):
    """A reply that is not JSON, is cut short, or breaks the contract."""


class RunError(YandexVisionError):
    """The run as a whole did not come out right."""


class DatabaseError(RunError):
    """The database did not take the results, or does not give them back.

    What was committed before stays, so that another attempt goes on from there.
    """


class SearchStoppedError(RunError):
    """The search was closed, by another thread or a signal, while its results were awaited."""


class FailedImagesError(RunError):
    """Images ended ``failed``, and the run was told to mind."""


class CountError(RunError):
    """Rows and images do not add up: a defect of this package, never of the data."""


def _shorten(uris: tuple[str, ...]) -> str:
    shown = ", ".join(uris[:SHOWN_IMAGES])
    rest = len(uris) - SHOWN_IMAGES
    return f"{shown} and {rest} more" if rest > 0 else shown
