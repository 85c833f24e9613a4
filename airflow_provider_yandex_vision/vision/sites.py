"""The site that a host belongs to: the part of its name that somebody registered."""

from __future__ import annotations

import ipaddress
import unicodedata
from functools import cache

from publicsuffixlist import PublicSuffixList


def site_of(host: str) -> str:
    """Registrable domain of a host by the Public Suffix List, private suffixes included.

    ``img.shop.example.co.uk`` is on ``example.co.uk``, ``anna.github.io`` is a site of its own. An address, a public
    suffix or a name without one is its own site.
    """
    host = normal_host(host)
    if is_address(host):
        return host
    return _suffixes().privatesuffix(host) or host


def normal_host(host: str) -> str:
    """One spelling of a host: in lower case, without trailing dots, international names as people read them."""
    host = unicodedata.normalize("NFC", host.lower()).rstrip(".")
    return ".".join(map(_readable, host.split("."))) if "xn--" in host else host


def is_address(host: str) -> bool:
    """Whether a host is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public_suffix(host: str) -> bool:
    """Whether the sites below a host belong to different owners, as with ``co.uk`` and ``github.io``."""
    host = normal_host(host)
    return _suffixes().publicsuffix(host, accept_unknown=False) == host


def _readable(label: str) -> str:
    try:
        return label.encode("ascii").decode("idna") if label.startswith("xn--") else label
    except UnicodeError:
        return label  # not a name that browsers would show either


@cache
def _suffixes() -> PublicSuffixList:
    """The list as of the library's release, read once, and only if a page's site is asked for."""
    return PublicSuffixList()
