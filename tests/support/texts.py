"""Text for property tests. In lists, since ``st.text`` would hardly ever draw the few letters that matter."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st


def text_with(parts: Sequence[str]) -> st.SearchStrategy[str]:
    """Text of any letters, but of these letters or words above all."""
    return st.lists(st.characters() | st.sampled_from(parts), max_size=12).map("".join)


ANY_TEXT = text_with("a\0\ud83d\udc08\ufffd")
"""Also what is no text: NUL and halves of a surrogate pair."""

FILE_NAMES = st.binary(min_size=1, max_size=12).map(lambda name: name.decode("utf-8", "surrogateescape"))
"""As Python hands over names that are not UTF-8."""
