from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.results.rows import finding_id, image_id, match_id, match_rows
from tests.results.samples import FIRST_RUN, SECOND_RUN, SHA, TUESDAY, found, match
from tests.support.texts import ANY_TEXT, FILE_NAMES

AMBIGUOUS = st.text("ab\0\ud83d\ufffd", max_size=3)
"""Text that may become equal to other text when joined or cleaned."""


def are_keys(keys: Iterable[str]) -> bool:
    return all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_image_key_is_the_hash_of_the_uri() -> None:
    assert image_id("s3://b/снимок.jpg") == hashlib.sha256("s3://b/снимок.jpg".encode()).hexdigest()


def test_match_key_is_the_hash_of_image_and_page() -> None:
    assert match_id("a", "page", "image") == hashlib.sha256(b"a\0page").hexdigest()


def test_finding_key_is_the_hash_of_content_and_page() -> None:
    assert finding_id(SHA, "a", "page", "image") == hashlib.sha256(f"{SHA}\0page".encode()).hexdigest()


def test_image_url_stands_in_for_an_unknown_page() -> None:
    assert match_id("a", "", "image") == hashlib.sha256(b"a\0image").hexdigest()
    assert finding_id(SHA, "a", "", "image") == hashlib.sha256(f"{SHA}\0image".encode()).hexdigest()


def test_image_stands_in_for_an_unknown_content() -> None:
    assert finding_id(None, "a", "page", "image") == hashlib.sha256(b"a\0page").hexdigest()


def test_file_names_that_are_not_text_have_distinct_keys() -> None:
    """As Python decodes them: é in Latin-1, é in UTF-8, é in UTF-8 as two surrogates, a lone surrogate."""
    names = ["\udce9", "é", "\udcc3\udca9", "\ud800", "\ufffd"]
    assert len({image_id(f"file:///{name}.jpg") for name in names}) == len(names)


def test_best_rank_wins_for_the_same_page() -> None:
    pages = match("page", 7, image_url="another.jpg"), match("page", 3), match("page", 2)
    result = found("s3://b/1", *pages)
    assert [(row["image_url"], row["rank_no"]) for row in match_rows(result, FIRST_RUN)] == [("page.jpg", 2)]


@given(st.sets(ANY_TEXT | FILE_NAMES | AMBIGUOUS))
def test_every_uri_has_a_distinct_key(uris: set[str]) -> None:
    keys = {image_id(uri) for uri in uris}
    assert len(keys) == len(uris)
    assert are_keys(keys)


@given(st.sets(st.tuples(AMBIGUOUS, AMBIGUOUS, AMBIGUOUS)))
def test_match_keys_are_distinct_and_stable(shown: set[tuple[str, str, str]]) -> None:
    first = [found(uri, match(page, image_url=url)) for uri, page, url in shown]
    again = [found(uri, match(page, image_url=url), at=TUESDAY) for uri, page, url in shown]
    rows = [row for result in first for row in match_rows(result, FIRST_RUN)]
    keys = [row["match_id"] for row in rows]
    assert len(set(keys)) == len({(row["image_id"], row["page_url"] or row["image_url"]) for row in rows})
    assert are_keys(keys)
    assert [row["match_id"] for result in again for row in match_rows(result, SECOND_RUN)] == keys
