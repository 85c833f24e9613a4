"""An image, and what a search says about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

Status: TypeAlias = Literal["found", "none", "rejected", "failed"]


class Content(bytes):
    """Bytes that know their version.

    :attr:`Image.read` may return these instead of plain bytes if the storage tells which version was read.
    That version then replaces the one from the listing.
    """

    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture to search for. Its bytes are fetched only when they are needed.

    :param uri: identity; contains no connection id.
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
    """One page that shows a copy.

    :param rank: 1 is the most relevant.
    :param domain: host of the page.
    """

    image_url: str
    page_url: str
    title: str
    description: str
    rank: int
    domain: str


@dataclass(frozen=True, slots=True)
class CopySearchResult:
    """The outcome for one image.

    ``found`` and ``none`` are answers. ``rejected`` means that the image itself is at fault and searching the same
    bytes again is pointless; ``failed`` means that the service or the storage gave up, and that a later search may
    work. ``copy_count`` can exceed ``len(matches)``: the service lists only the best few.
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
        """Reverse of :meth:`to_dict`, except for text that was not clean."""
        matches = tuple(CopyMatch(**match) for match in plain["matches"])
        searched_at = plain["searched_at"] and datetime.fromisoformat(plain["searched_at"])
        return cls(**{**plain, "matches": matches, "searched_at": searched_at})


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that was read, checked and encoded for a request.

    :param part: the image as a request carries it.
    :param sha256: of the stored bytes, in hex.
    :param size: of the stored bytes.
    :param mime_type: of the bytes in ``part``.
    :param etag: version that was read.
    """

    uri: str
    part: bytes
    sha256: str
    size: int
    mime_type: str
    etag: str | None

    def result(self, status: Status, searched_at: datetime, **answer: Any) -> CopySearchResult:
        """The outcome for this image.

        :param answer: fields of :class:`CopySearchResult` that depend on the answer.
        """
        return CopySearchResult(
            uri=self.uri,
            status=status,
            sha256=self.sha256,
            size=self.size,
            etag=self.etag,
            mime_type=self.mime_type,
            searched_at=searched_at,
            **answer,
        )

    def copy_of(self, result: CopySearchResult) -> CopySearchResult:
        """The outcome for this image, given that of an image with the same content."""
        return replace(result, uri=self.uri, size=self.size, etag=self.etag, mime_type=self.mime_type)


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def clean(text: str) -> str:
    """Make text storable anywhere: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def domain_of(url: str) -> str:
    """Host of a URL in lower case, even if the scheme is missing; empty if there is none."""
    has_scheme = re.match(r"([a-z][a-z0-9+.-]*:)?//", url, re.IGNORECASE)
    try:
        return urlsplit(url if has_scheme else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _values(record: CopyMatch | CopySearchResult) -> dict[str, Any]:
    """Unlike ``dataclasses.asdict``, makes no deep copies: they would take half of a run's time."""
    return {name: getattr(record, name) for name in record.__slots__}
