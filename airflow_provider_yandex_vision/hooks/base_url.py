"""Base URLs in a connection's fields."""

from __future__ import annotations

import re

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.loopback import is_loopback


def read_base_url(value: str, field: str, default: str, *, scheme: str = "https", port: int | None = None) -> str:
    """A URL without a slash at its end.

    :param value: of the field; its scheme and port win.
    :raises ConfigurationError: not the URL of a server, or more than that; names the field.
    """
    text = value.strip()
    if not text:
        return default
    own_scheme, _, address = text.rpartition("://")
    if set("@?#") & set(address) or not text.isprintable():
        raise ConfigurationError(f"{field} may have a scheme, a name, a port and a path, but nothing else")
    if address.count(":") > 1 and "[" not in address:
        address = f"[{address}]"  # Airflow drops the brackets of an IPv6 address when it reads a URI
    try:
        url = parse_url(f"{own_scheme or scheme}://{address}")
    except LocationParseError:
        url = parse_url("")
    if url.scheme not in ("http", "https") or not re.fullmatch(r"[\w.-]+|\[[\w.:%]+\]", url.host or ""):
        raise ConfigurationError(f"{field} {text!r} is not a URL such as {default}")
    port = url.port or port or None
    if port and not 0 < port < 65536:
        raise ConfigurationError(f"port must be from 1 to 65535, not {port}")
    return url._replace(port=port, path=(url.path or "").rstrip("/")).url


def is_unencrypted(base_url: str) -> bool:
    """Whether it sends what others on the way can read."""
    url = parse_url(base_url)
    return url.scheme == "http" and not is_loopback(url.host or "")
