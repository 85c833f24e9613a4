from __future__ import annotations

import hashlib

from airflow_provider_yandex_vision.sinks.rows import image_id, match_id, match_rows
from tests.sinks.samples import FIRST_RUN, found, match


def test_the_key_of_an_image_is_the_hash_of_its_uri() -> None:
    assert image_id("s3://b/снимок.jpg") == hashlib.sha256("s3://b/снимок.jpg".encode()).hexdigest()


def test_the_key_of_a_match_is_the_hash_of_its_parts() -> None:
    assert match_id("a", "page", "image") == hashlib.sha256(b"a\0page\0image").hexdigest()


def test_file_names_that_are_not_text_have_keys_of_their_own() -> None:
    """As Python hands them over: é in Latin-1, é in UTF-8, é in bytes that it took for no text, half a pair."""
    names = ["\udce9", "é", "\udcc3\udca9", "\ud800", "\ufffd"]
    assert len({image_id(f"file:///{name}.jpg") for name in names}) == len(names)


def test_of_the_same_page_and_picture_the_best_rank_stays() -> None:
    reply = found("s3://b/1", match("page", 7), match("page", 2), match("page", 3, image_url="another.jpg"))
    assert [(row["page_url"], row["rank_no"]) for row in match_rows(reply, FIRST_RUN)] == [("page", 2), ("page", 3)]
