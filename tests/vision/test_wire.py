from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import astuple
from functools import reduce
from itertools import chain
from operator import getitem
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.vision.errors import ProtocolError
from airflow_provider_yandex_vision.vision.models import (
    Answer,
    CopyMatch,
)
from airflow_provider_yandex_vision.vision.wire import decode_error, decode_reply
from tests.support.texts import ANY_TEXT

KEYS = st.sampled_from(
    ["results", "error", "code", "message", "imageCopySearch", "copyCount", "topResults", "title", "pageUrl"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)

MATCH = {"imageUrl": "https://img.test/1.jpg", "pageUrl": "https://shop.test/1", "title": "T", "description": "D"}


def reply(*results: Any) -> bytes:
    return json.dumps({"results": results}).encode()


def annotated(annotation: Any) -> dict[str, Any]:
    return {"results": [{"imageCopySearch": annotation}]}


def decode_one(result: Any) -> Answer:
    [answer] = decode_reply(reply(result), expected=1)
    return answer


def failed(level: str, error: dict[str, Any]) -> dict[str, Any]:
    return {"error": error} if level == "file" else {"results": [{"error": error}]}


class TestCopyCount:
    @pytest.mark.parametrize(("value", "count"), [(13, 13), ("13", 13), (0, 0), ("0", 0), (2**63 - 1, 2**63 - 1)])
    def test_comes_as_a_number_or_as_text(self, value: int | str, count: int) -> None:
        assert decode_one(annotated({"copyCount": value})).copy_count == count

    @pytest.mark.parametrize("annotation", [{}, {"copyCount": None}])
    def test_left_out_means_zero(self, annotation: dict[str, None]) -> None:
        assert decode_one(annotated(annotation)) == Answer("none", 0)

    @pytest.mark.parametrize(
        "value",
        [True, False, 1.0, 1.5, -1, "-1", "1.0", "many", "", " 1", "\u0661", [], {}, 2**63, str(2**63), "9" * 5000],
    )
    def test_of_anything_but_a_count_is_refused(self, value: Any) -> None:
        with pytest.raises(ProtocolError, match="copyCount"):
            decode_one(annotated({"copyCount": value}))

    @pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e3"])
    def test_is_no_float_of_json(self, literal: str) -> None:
        payload = reply(annotated({"copyCount": "?"})).replace(b'"?"', literal.encode())
        with pytest.raises(ProtocolError, match="copyCount"):
            decode_reply(payload, 1)

    def test_may_exceed_the_matches_listed(self) -> None:
        answer = decode_one(annotated({"copyCount": "1300", "topResults": [MATCH]}))
        assert (answer.copy_count, len(answer.matches)) == (1300, 1)


class TestMatches:
    def test_keep_the_order_of_relevance(self) -> None:
        urls = ["https://b.test/", "https://a.test/", "https://c.test/"]
        answer = decode_one(annotated({"copyCount": 3, "topResults": [{"pageUrl": url} for url in urls]}))
        assert [(match.rank, match.page_url) for match in answer.matches] == list(enumerate(urls, start=1))

    def test_have_every_field(self) -> None:
        [match] = decode_one(annotated({"topResults": [MATCH]})).matches
        assert match == CopyMatch("https://img.test/1.jpg", "https://shop.test/1", "T", "D", 1, "shop.test")

    @pytest.mark.parametrize("match", [{}, dict.fromkeys(MATCH), dict.fromkeys(MATCH, "")])
    def test_without_their_fields_are_empty_text(self, match: dict[str, Any]) -> None:
        assert decode_one(annotated({"topResults": [match]})).matches == (CopyMatch("", "", "", "", 1, ""),)

    def test_alone_make_an_image_found(self) -> None:
        assert decode_one(annotated({"topResults": [MATCH]})).status == "found"

    def test_need_not_be_listed_for_an_image_to_be_found(self) -> None:
        assert decode_one(annotated({"copyCount": 2, "topResults": None})) == Answer("found", 2)

    def test_may_carry_keys_that_nobody_knows(self) -> None:
        result = annotated({"copyCount": 1, "topResults": [{**MATCH, "width": 5}], "newField": {}})
        assert decode_one({**result, "page": 1}).status == "found"

    def test_keep_text_of_any_language(self) -> None:
        [match] = decode_one(annotated({"topResults": [{"title": "Кот <b>& 猫 🐈</b>"}]})).matches
        assert match.title == "Кот <b>& 猫 🐈</b>"

    def test_lose_what_no_database_stores(self) -> None:
        payload = reply(annotated({"topResults": [{"title": "a\x00b\ud83dc"}]}))
        [answer] = decode_reply(payload, 1)
        assert answer.matches[0].title == "a\ufffdb\ufffdc"


class TestErrorOfOneImage:
    @pytest.mark.parametrize("level", ["file", "feature"])
    def test_of_code_3_rejects_it_in_the_words_of_the_service(self, level: str) -> None:
        answer = decode_one(failed(level, {"code": 3, "message": "Can't decode Image"}))
        assert answer == Answer("rejected", error_code="INVALID_ARGUMENT", error_message="Can't decode Image")

    @pytest.mark.parametrize("level", ["file", "feature"])
    @pytest.mark.parametrize(
        ("code", "name"), [(8, "RESOURCE_EXHAUSTED"), (13, "INTERNAL"), (14, "UNAVAILABLE"), (99, "99")]
    )
    def test_of_another_code_means_that_another_time_may_work(self, level: str, code: int, name: str) -> None:
        answer = decode_one(failed(level, {"code": code, "message": "busy", "details": []}))
        assert (answer.status, answer.error_code, answer.copy_count) == ("failed", name, None)

    def test_may_have_no_message(self) -> None:
        assert decode_one({"error": {"code": 3}}).error_message == ""

    def test_may_have_no_code(self) -> None:
        assert decode_one({"error": {"message": "odd"}}) == Answer("failed", None, (), "UNKNOWN", "odd")

    @pytest.mark.parametrize("nothing", [None, {}, {"code": 0, "message": ""}])
    def test_left_at_its_defaults_is_none(self, nothing: Any) -> None:
        result = {"error": nothing, "results": [{"error": nothing, "imageCopySearch": {"copyCount": 1}}]}
        assert decode_one(result).status == "found"

    def test_outweighs_an_annotation(self) -> None:
        result = {"results": [{"imageCopySearch": {"copyCount": 1}, "error": {"code": 13}}]}
        assert decode_one(result).status == "failed"

    @pytest.mark.parametrize("error", ["bad", 3, [], {"code": "3"}, {"code": True}, {"code": 3.0}, {"message": 5}])
    def test_of_the_wrong_type_is_refused(self, error: Any) -> None:
        with pytest.raises(ProtocolError):
            decode_one({"error": error})


@pytest.mark.parametrize(
    "result", [{}, {"results": None}, {"results": []}, {"results": [{}]}, annotated(None), {"results": [{"faces": {}}]}]
)
def test_neither_annotation_nor_error_is_never_taken_for_no_copies(result: Any) -> None:
    answer, good = decode_reply(reply(result, annotated({})), expected=2)
    assert (answer.status, answer.error_code, answer.copy_count) == ("failed", "PROTOCOL", None)
    assert good.status == "none"
    with pytest.raises(ProtocolError, match="neither an annotation nor an error"):
        decode_one(result)


class TestReply:
    def test_that_breaks_the_contract_for_one_image_keeps_the_answers_of_the_others(self) -> None:
        payload = reply(annotated({"copyCount": 2}), annotated({"copyCount": -1}), annotated({}))
        assert [answer.error_code for answer in decode_reply(payload, 3)] == [None, "PROTOCOL", None]

    def test_that_breaks_the_contract_for_all_images_is_refused(self) -> None:
        with pytest.raises(ProtocolError, match="copyCount"):
            decode_reply(reply(*[annotated({"copyCount": -1})] * 2), 2)

    def test_is_read_in_the_order_of_the_request(self) -> None:
        payload = reply(annotated({"copyCount": 2}), {"error": {"code": 3}}, annotated({}))
        assert [answer.status for answer in decode_reply(payload, 3)] == ["found", "rejected", "none"]

    @pytest.mark.parametrize("count", [0, 1, 3, 9])
    def test_of_another_length_is_of_no_use_to_any_image(self, count: int) -> None:
        with pytest.raises(ProtocolError, match=f"{count} results came back for 2 images"):
            decode_reply(reply(*[annotated({})] * count), expected=2)

    @pytest.mark.parametrize("payload", [b"{}", b'{"results": null}', b'{"results": []}'])
    def test_without_results_answers_a_request_without_images_only(self, payload: bytes) -> None:
        assert decode_reply(payload, expected=0) == []
        with pytest.raises(ProtocolError):
            decode_reply(payload, expected=1)

    @pytest.mark.parametrize(
        "payload",
        [b"", b"<html>", b'{"results": [{"res', b"\xff\xfe\xfa", b"[" * 100_000, b'{"results":[' + b"9" * 5000 + b"]}"],
        ids=["empty", "html", "cut short", "not text", "deep", "long number"],
    )
    def test_that_is_not_json_is_refused(self, payload: bytes) -> None:
        with pytest.raises(ProtocolError, match=r"^the reply is not JSON$"):
            decode_reply(payload, 1)

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"[]", "reply is not an object"),
            (b"null", "reply is not an object"),
            (b'{"results": [], "results": []}', "reply is not an object"),
            (b'{"results": {}}', "results is not a list"),
            (b'{"results": "x"}', "results is not a list"),
        ],
    )
    def test_of_another_shape_is_refused(self, payload: bytes, reason: str) -> None:
        with pytest.raises(ProtocolError, match=f"^{reason}$"):
            decode_reply(payload, 1)

    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            (None, "results[i] is not an object"),
            ("found", "results[i] is not an object"),
            ({"results": {}}, "results[i].results is not a list"),
            ({"results": [None]}, "results[i].results[j] is not an object"),
            ({"error": "no"}, "error is not an object"),
            ({"error": {"code": "3"}}, "an error in the reply has a code or a message of the wrong type"),
            (annotated([]), "imageCopySearch is not an object"),
            (annotated("13"), "imageCopySearch is not an object"),
            (annotated({"copyCount": []}), "copyCount is not a count"),
            (annotated({"topResults": {}}), "topResults is not a list"),
            (annotated({"topResults": ["https://a.test"]}), "topResults[k] is not an object"),
            (annotated({"topResults": [None]}), "topResults[k] is not an object"),
            (annotated({"topResults": [{"title": 5}]}), "a match has a field that is not text"),
            (annotated({"topResults": [{"pageUrl": ["https://a.test"]}]}), "a match has a field that is not text"),
        ],
    )
    def test_with_a_value_of_the_wrong_type_is_refused(self, result: Any, reason: str) -> None:
        with pytest.raises(ProtocolError, match=f"^{re.escape(reason)}$"):
            decode_one(result)

    def test_that_says_a_thing_twice_says_nothing(self) -> None:
        """Which of two counts was meant?"""
        twice = b'{"results": [{"results": [{"imageCopySearch": {"copyCount": "1", "copyCount": "2"}}]}]}'
        with pytest.raises(ProtocolError, match="imageCopySearch is not an object"):
            decode_reply(twice, 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"code": 16, "message": "Unknown api key", "details": []}, ("UNAUTHENTICATED", "Unknown api key")),
        ({"error": {"grpcCode": 3, "httpCode": 400, "message": "bad"}}, ("INVALID_ARGUMENT", "bad")),
        ({"error_code": "UNAUTHORIZED", "error_message": "Token is invalid"}, ("UNAUTHORIZED", "Token is invalid")),
        ({"code": 77, "message": "new"}, ("77", "new")),
        ({"message": "only words\0"}, (None, "only words\ufffd")),
        ({"code": [3], "message": {"a": 1}}, (None, None)),
        ({"error": "invalid_token"}, (None, None)),
        ({}, (None, None)),
        ([], (None, None)),
        ("Bad Gateway", (None, None)),
    ],
)
def test_an_error_body_is_understood_in_every_shape_seen(body: Any, expected: tuple[str | None, str | None]) -> None:
    assert decode_error(json.dumps(body).encode()) == expected


@pytest.mark.parametrize("payload", [b"", b"<html>502</html>", b"\xff\xfe", b"[" * 100_000])
def test_an_error_body_that_is_not_json_says_nothing(payload: bytes) -> None:
    assert decode_error(payload) == (None, None)


ANNOTATIONS = st.fixed_dictionaries(
    {
        "copyCount": st.integers(0, 2**63 - 1) | st.integers(0, 2**63 - 1).map(str),
        "topResults": st.lists(st.fixed_dictionaries(dict.fromkeys(MATCH, ANY_TEXT)), max_size=2),
    }
)
ERRORS = st.fixed_dictionaries({"code": st.integers(1, 20), "message": ANY_TEXT}, optional={"details": JSON})
RESULTS = st.lists(
    ANNOTATIONS.map(annotated) | st.builds(failed, st.sampled_from(["file", "feature"]), ERRORS),
    min_size=1,
    max_size=4,
)
AGAIN = " again"


def is_storable(*texts: str | None) -> bool:
    """:raises UnicodeEncodeError: there are lone surrogates."""
    return b"\0" not in "".join(text or "" for text in texts).encode()


def texts_of(answers: list[Answer]) -> Iterator[str]:
    for answer in answers:
        values = (answer.error_code, answer.error_message, *chain(*map(astuple, answer.matches)))
        yield from (value for value in values if isinstance(value, str))


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Ways to every value inside."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*path, key)
        yield from places(tree[key], (*path, key))


def mutated(tree: Any, path: tuple[Any, ...], mutation: str, value: Any) -> Any:
    """A copy in which one value is gone, comes twice, or is another one."""
    tree = deepcopy(tree)
    parent, key = reduce(getitem, path[:-1], tree), path[-1]
    if mutation == "replace":
        parent[key] = value
    elif mutation == "drop":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, parent[key])
    else:
        parent[key + AGAIN] = parent[key]
    return tree


REPLIES = JSON | st.lists(JSON, max_size=3).map(lambda results: {"results": results})


@given(st.binary() | REPLIES.map(lambda value: json.dumps(value).encode()), st.integers(0, 3))
def test_anything_at_all_gives_an_answer_an_image_or_a_protocol_error(payload: bytes, expected: int) -> None:
    assert is_storable(*decode_error(payload))
    try:
        answers = decode_reply(payload, expected)
    except ProtocolError:
        return
    assert len(answers) == expected
    assert is_storable(*texts_of(answers))


@given(RESULTS, st.sampled_from(["drop", "double", "replace"]), JSON)
def test_a_fault_anywhere_in_a_reply_costs_one_image_at_most_unless_the_length_is_wrong(
    results: list[Any], mutation: str, value: Any
) -> None:
    answers = decode_reply(reply(*results), len(results))
    for path in places(results):
        faulty = mutated(results, path, mutation, value)
        try:
            after = decode_reply(reply(*faulty).replace(AGAIN.encode(), b""), len(results))
        except ProtocolError:
            assert len(results) in {1, len(faulty) + 1, len(faulty) - 1}
        else:
            assert len(after) == len(faulty)
            assert [old == new for old, new in zip(answers, after, strict=True)].count(False) <= 1
            assert is_storable(*texts_of(after))


@given(RESULTS, st.data())
def test_a_reply_cut_short_anywhere_is_refused(results: list[Any], data: st.DataObject) -> None:
    payload = reply(*results)
    with pytest.raises(ProtocolError, match="not JSON"):
        decode_reply(payload[: data.draw(st.integers(0, len(payload) - 1))], len(results))
