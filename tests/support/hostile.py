"""Text that does harm if it is treated as more than data."""

from __future__ import annotations

TERMINAL = "\x1b[2J\x1b]0;owned\x07\x9b31m\b\x7f\u202egpj.exe\u2066"
LINES = "\r\v\f\x1c\x85\u2028\u2029"
MARKERS = ("::group::", "::endgroup::", "##[group]", "##[endgroup]")
"""Airflow's log viewers fold lines at these: that of 3.x anywhere in a line, that of 2.11 after `` INFO - ``."""

FORGERY = f"::endgroup::\n[2026-01-01T00:00:00.000+0000] INFO - {' INFO - '.join(MARKERS)}{LINES}{TERMINAL}"

CODE = {
    "formula": "=cmd|'/C calc'!A0",
    "sum": "@SUM(1+1)*cmd|' /C calc'!A0",
    "plus": "+1",
    "minus": "-1",
    "markup": "<script>alert(1)</script>",
    "sql": "'); DROP TABLE copies; --",
    "jinja": "{{ 7 * 7 }}{% raw %}{# none #}",
    "shell": "${HOME} $(id) `id`",
    "format": "%(asctime)s %s %d {0} {x!r}",
}


def forges(text: str) -> bool:
    """Whether the text would be more than one plain line in a log."""
    return not text.isprintable() or any(marker in text for marker in MARKERS)


def texts_of(error: BaseException) -> list[str]:
    """Texts of an exception and of the causes that Airflow's log shows with it."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [str(error), *(texts_of(cause) if cause else ())]
