"""Sites: the part of a host's name that somebody registered, and what people write to name one."""

from __future__ import annotations

import ast
import ipaddress
import re
import unicodedata
from collections.abc import Container, Iterable, Mapping
from functools import cache
from typing import Any

from publicsuffixlist import PublicSuffixList

from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.models import domain_of

MAX_HOST_LENGTH = 253


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


def is_below(host: str, sites: Container[str]) -> bool:
    """Whether a host, or a name above it, is among sites; all as :func:`normal_host` spells them."""
    return host in sites or any(host[dot.end() :] in sites for dot in re.finditer(r"\.", host))


def parse_sites(value: str | Iterable[str]) -> list[str]:
    """Sites that people wrote: a list, or text with commas or lines, such as a rendered template.

    :raises ConfigurationError: one of them is not a site.
    """
    return list(dict.fromkeys(map(parse_site, parse_texts(value))))


def parse_texts(value: str | Iterable[str]) -> list[str]:
    """A list that people wrote: as it is, or as text with commas or lines, without what is blank."""
    if isinstance(value, str):
        listed = _literal(value)
        value = listed if isinstance(listed, list) else re.split(r"[,\r\n]+", value)
    if not isinstance(value, Iterable):
        raise ConfigurationError(f"{value!r} is not a list")
    texts = [text.strip() if isinstance(text, str) else text for text in value]
    return [text for text in texts if text != ""]


def mapping_in(value: Any) -> Mapping[Any, Any] | None:
    """A mapping as it is, or as a template rendered it; or None."""
    value = _literal(value) if isinstance(value, str) else value
    return value if isinstance(value, Mapping) else None


def parse_site(text: str) -> str:
    """A site or a host that a person wrote, as :func:`normal_host` spells it.

    Of a URL, its host without ``www.``: https://www.example.com/about means ``example.com``.

    :raises ConfigurationError: it is something else.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"{text!r} is not a site: write its name, such as 'example.com'")
    given = text.strip()
    host = normal_host(given)
    if "/" in given:
        host = normal_host(domain_of(given))
        bare = host.removeprefix("www.")
        host = host if is_public_suffix(bare) else bare
    if problem := _problem(host):
        raise ConfigurationError(f"{text!r} is not a site: {problem}; write a name such as 'example.com'")
    return host


def _problem(host: str) -> str | None:
    if is_address(host.strip("[]")):
        return "it is an address"
    if "*" in host:
        return "it has a wildcard, and a site stands for all hosts below it anyway"
    if re.search(r":\d*$", host):
        return "it has a port"
    if is_public_suffix(host):
        return "the sites below it belong to different owners"
    labels = host.split(".")
    if len(host) > MAX_HOST_LENGTH or not all(re.fullmatch(r"[^\W_]([\w-]*[^\W_])?|_[\w-]+", each) for each in labels):
        return "it is not the name of a host"
    return None


def _literal(text: str) -> Any:
    """A list or a mapping that a template rendered as text, in Python's syntax or as JSON; or None."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _readable(label: str) -> str:
    try:
        return label.encode("ascii").decode("idna") if label.startswith("xn--") else label
    except UnicodeError:
        return label  # not a name that browsers would show either


@cache
def _suffixes() -> PublicSuffixList:
    """The list as of the library's release, read once, and only if a page's site is asked for."""
    return PublicSuffixList()
