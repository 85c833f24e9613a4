"""A hook of MkDocs: docstrings name classes as Sphinx does, ``:class:`~package.Class```; pages show the name alone."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:attr|class|func|meth|mod):<code>~?(?:[\w.]*\.)?(\w+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    return ROLE.sub(r"<code>\1</code>", html)
