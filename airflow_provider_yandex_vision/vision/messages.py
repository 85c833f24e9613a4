"""Images, what became of them, and the request that asks.

The request is ``BatchAnalyzeRequest`` of ``yandex/cloud/ai/vision/v1/vision_service.proto``, in protobuf's JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pybase64

MAX_IMAGES_PER_REQUEST = 8
PIECE_BYTES = 512 * 1024
MAX_CONTENT_BYTES = 7_864_320
"""10,485,760 characters of base64, the schema's limit of ``content``."""

BROKEN = "PROTOCOL"
"""Code of an image whose answer breaks the contract."""

Status: TypeAlias = Literal["found", "none", "rejected", "failed"]


class Content(bytes):
    """Bytes that know which version of the object they are.

    An :class:`Image` may read these instead of plain bytes where the storage tells the version
    that was really read; it then takes the place of the one from the listing.
    """

    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture to search for; its bytes are fetched when its turn comes.

    :param uri: identity; no connection id in it.
    :param read: returns the bytes; called once, off the main thread.
    :param size: bytes, from the listing.
    :param etag: version of the content, from the listing.
    """

    uri: str
    read: Callable[[], bytes]
    size: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class CopyMatch:
    """One page that shows a copy; ``rank`` 1 is the most relevant."""

    image_url: str
    page_url: str
    title: str
    description: str
    rank: int
    domain: str


@dataclass(frozen=True, slots=True)
class CopySearchResult:
    """What became of one image.

    ``found`` and ``none`` are answers. ``rejected`` says that the bytes are at fault and searching
    them again is pointless; ``failed`` that the service or the storage gave up, and another time
    may work. ``copy_count`` can exceed ``len(matches)``: the service lists the best few.
    """

    uri: str
    status: Status
    copy_count: int | None = None
    matches: tuple[CopyMatch, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    sha256: str | None = None
    size: int | None = None
    etag: str | None = None
    mime_type: str | None = None
    searched_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values and clean text, for XCom and JSON; ``searched_at`` in ISO 8601."""
        plain = {name: clean(value) if isinstance(value, str) else value for name, value in _values(self).items()}
        plain["matches"] = [_values(match) for match in self.matches]
        plain["searched_at"] = self.searched_at.isoformat() if self.searched_at else None
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> CopySearchResult:
        """Reverse of :meth:`to_dict`, but for what was not clean."""
        matches = tuple(CopyMatch(**match) for match in plain["matches"])
        searched_at = plain["searched_at"] and datetime.fromisoformat(plain["searched_at"])
        return cls(**{**plain, "matches": matches, "searched_at": searched_at})


@dataclass(frozen=True, slots=True)
class Answer:
    """The service's word on one image of a request, in the order of the request."""

    status: Status
    copy_count: int | None = None
    matches: tuple[CopyMatch, ...] = ()
    error_code: str | None = None
    error_message: str | None = None


def encode_spec(content: bytes, mime_type: str) -> bytes:
    """One ``AnalyzeSpec`` as JSON, after a comma. Base64 needs no escaping, so no JSON encoder goes over it."""
    head = f',{{"features":[{{"type":"IMAGE_COPY_SEARCH"}}],"mimeType":{json.dumps(mime_type)},"content":"'
    return b"".join((head.encode(), pybase64.b64encode(content), b'"}'))


class RequestBody:
    """A ``BatchAnalyzeRequest`` as parts that are sent one after another, never joined.

    :param specs: from :func:`encode_spec`, 1 to 8 of them.
    """

    def __init__(self, specs: Sequence[bytes], folder_id: str | None = None) -> None:
        folder = f'"folderId":{json.dumps(folder_id)},'.encode() if folder_id else b""
        without_comma = [spec[1:] for spec in specs[:1]]
        self._parts = [b"{" + folder + b'"analyzeSpecs":[', *without_comma, *specs[1:], b"]}"]

    def __iter__(self) -> Iterator[bytes]:
        """The parts, in pieces: the time to send each is bounded, and must do on a slow line."""
        for part in self._parts:
            for start in range(0, len(part), PIECE_BYTES):
                yield part[start : start + PIECE_BYTES]

    def __len__(self) -> int:
        return sum(map(len, self._parts))


def clean(text: str) -> str:
    """Make text storable anywhere: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def domain_of(url: str) -> str:
    """Host of a URL in lower case, also where the scheme is missing; empty where there is none."""
    has_scheme = re.match(r"([a-z][a-z0-9+.-]*:)?//", url, re.IGNORECASE)
    try:
        return urlsplit(url if has_scheme else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _values(record: CopyMatch | CopySearchResult) -> dict[str, Any]:
    """Not ``dataclasses.asdict``: its deep copies would take half of a run's time."""
    return {name: getattr(record, name) for name in record.__slots__}
