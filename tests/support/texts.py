"""Text for property tests. ``st.text`` alone would hardly ever draw the few characters that matter."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st


def text_with(parts: Sequence[str]) -> st.SearchStrategy[str]:
    """Text of any characters, but mostly of these characters or words."""
    return st.lists(st.characters() | st.sampled_from(parts), max_size=12).map("".join)


ANY_TEXT = text_with("a\0\ud83d\udc08\ufffd")
"""Includes NUL and lone surrogates."""

FILE_NAMES = st.binary(min_size=1, max_size=12).map(lambda name: name.decode("utf-8", "surrogateescape"))
"""File names as Python decodes them, including those that are not UTF-8."""
