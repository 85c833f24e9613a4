"""Text and URLs from the web, made safe to show."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]+")
"""Control characters, and those that reorder the text around them."""

_HOST = re.compile(r"[^\W_](?:[\w-]*\.)+[\w-]+")

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet may take for a formula, by OWASP; some also take the full-width signs."""


def plain(text: str) -> str:
    """Text on one line, in which nothing reorders or hides the rest."""
    return _INVISIBLE.sub(" ", text).strip()


def web_url(url: str) -> str | None:
    """The URL if it may become a link: ``http`` or ``https``, with a host and without a password."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return None
    return url if is_web and not _INVISIBLE.search(url) else None


def is_host(name: str) -> bool:
    """Whether it is an ordinary host name, in which no markup of Slack, mail or Markdown fits."""
    return _HOST.fullmatch(name) is not None and "_" not in name


def cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe goes before one, as OWASP recommends."""
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA_STARTS) else text
