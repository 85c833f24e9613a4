"""Images, and the results of searching for copies of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

Status: TypeAlias = Literal["found", "none", "rejected", "failed"]


class Content(bytes):
    """Bytes with the version that was read; :attr:`Image.read` may return these instead of plain bytes."""

    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image to search for.

    :param uri: identity; contains no connection id.
    :param read: returns the content; called once, off the main thread, when the image's turn comes.
    :param size: bytes, from the listing.
    :param etag: version of the content, from the listing.
    :param conn_id: Airflow connection that the image is read through.
    """

    uri: str
    read: Callable[[], bytes]
    size: int | None = None
    etag: str | None = None
    conn_id: str | None = None


@dataclass(frozen=True, slots=True)
class CopyMatch:
    """One page that shows a copy.

    :param rank: 1 is the most relevant.
    :param domain: host of the page, or of the image if the page is unknown, as :func:`normal_host` spells it.
    :param site: registrable domain of that host, as :func:`site_of` says.
    """

    image_url: str
    page_url: str
    title: str
    description: str
    rank: int
    domain: str
    site: str


@dataclass(frozen=True, slots=True)
class CopySearchResult:
    """The outcome for one image.

    ``found`` and ``none`` are answers. ``rejected``: the image itself is at fault, and searching the same bytes again
    is pointless. ``failed``: the service or the storage failed after every attempt, and a later search may work.
    ``copy_count`` can exceed ``len(matches)``: the service lists only the best few. ``request_id`` identifies the
    request that got the answer, for the vendor's support.
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
    request_id: str | None = None
    conn_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values and clean text, for XCom and JSON; ``searched_at`` in ISO 8601."""
        plain = {name: clean(value) if isinstance(value, str) else value for name, value in _values(self).items()}
        plain["matches"] = [_values(match) for match in self.matches]
        plain["searched_at"] = self.searched_at.isoformat() if self.searched_at else None
        return plain


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that was read, checked and encoded for a request.

    :param part: the image as a request carries it.
    :param sha256: of the stored bytes, in hex; ``size`` is theirs too, even if ``part`` has a converted image.
    :param mime_type: of the content in ``part``.
    :param etag: version that was read.
    """

    uri: str
    part: bytes
    sha256: str
    size: int
    mime_type: str
    etag: str | None
    conn_id: str | None = None

    def result(self, status: Status, searched_at: datetime, **answer: Any) -> CopySearchResult:
        """The outcome for this image; ``answer`` has the fields that only the service knows."""
        image = {name: getattr(self, name) for name in (*_OWN, "sha256")}
        return CopySearchResult(**image, status=status, searched_at=searched_at, **answer)

    def copy_of(self, result: CopySearchResult) -> CopySearchResult:
        """The outcome for this image, given that of an image with the same content."""
        return replace(result, **{name: getattr(self, name) for name in _OWN})


_OWN = ("uri", "size", "etag", "mime_type", "conn_id")
"""What differs between images with the same content."""


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def clean(text: str) -> str:
    """Text that any database can store: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def domain_of(url: str) -> str:
    """Host of a URL in lower case, with or without a scheme; empty if there is none."""
    has_scheme = re.match(r"([a-z][a-z0-9+.-]*:)?//", url, re.IGNORECASE)
    try:
        return urlsplit(url if has_scheme else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _values(record: CopyMatch | CopySearchResult) -> dict[str, Any]:
    """``dataclasses.asdict`` without deep copies, which would take half of a run's time."""
    return {name: getattr(record, name) for name in record.__slots__}
