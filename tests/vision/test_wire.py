from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_provider_yandex_vision.vision import CopyMatch, CopySearchResult
from airflow_provider_yandex_vision.vision.errors import ProtocolError
from airflow_provider_yandex_vision.vision.wire import decode_error, decode_reply
from tests.vision.conftest import NOW, prepared

MATCH = {"imageUrl": "https://img.test/1.jpg", "pageUrl": "https://shop.test/1", "title": "T", "description": "D"}


def reply(*results: Any) -> bytes:
    return json.dumps({"results": results}).encode()


def annotated(annotation: Any) -> dict[str, Any]:
    return {"results": [{"imageCopySearch": annotation}]}


def decode(payload: bytes, images: int) -> list[CopySearchResult]:
    return decode_reply(payload, prepared(*map(str, range(images))) if images else [], NOW)


def decode_one(result: Any) -> CopySearchResult:
    [decoded] = decode(reply(result), 1)
    return decoded


def failed(level: str, error: dict[str, Any]) -> dict[str, Any]:
    return {"error": error} if level == "file" else {"results": [{"error": error}]}


class TestCopyCount:
    @pytest.mark.parametrize(("value", "count"), [(13, 13), ("13", 13), (0, 0), ("0", 0), (2**63 - 1, 2**63 - 1)])
    def test_may_be_a_number_or_text(self, value: int | str, count: int) -> None:
        assert decode_one(annotated({"copyCount": value})).copy_count == count

    @pytest.mark.parametrize("annotation", [{}, {"copyCount": None}])
    def test_missing_means_zero(self, annotation: dict[str, None]) -> None:
        result = decode_one(annotated(annotation))
        assert (result.status, result.copy_count) == ("none", 0)

    @pytest.mark.parametrize(
        "value",
        [True, False, 1.0, 1.5, -1, "-1", "1.0", "many", "", " 1", "\u0661", [], {}, 2**63, str(2**63), "9" * 5000],
    )
    def test_must_be_a_count(self, value: Any) -> None:
        with pytest.raises(ProtocolError, match="copyCount"):
            decode_one(annotated({"copyCount": value}))

    @pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e3"])
    def test_is_not_a_float(self, literal: str) -> None:
        payload = reply(annotated({"copyCount": "?"})).replace(b'"?"', literal.encode())
        with pytest.raises(ProtocolError, match="copyCount"):
            decode(payload, 1)

    def test_may_exceed_the_number_of_matches(self) -> None:
        result = decode_one(annotated({"copyCount": "1300", "topResults": [MATCH]}))
        assert (result.copy_count, len(result.matches)) == (1300, 1)


class TestMatches:
    def test_keep_the_order_of_relevance(self) -> None:
        urls = ["https://b.test/", "https://a.test/", "https://c.test/"]
        result = decode_one(annotated({"copyCount": 3, "topResults": [{"pageUrl": url} for url in urls]}))
        assert [(match.rank, match.page_url) for match in result.matches] == list(enumerate(urls, start=1))

    def test_have_every_field(self) -> None:
        [match] = decode_one(annotated({"topResults": [MATCH]})).matches
        assert match == CopyMatch(
            "https://img.test/1.jpg", "https://shop.test/1", "T", "D", 1, "shop.test", "shop.test"
        )

    @pytest.mark.parametrize("match", [{}, dict.fromkeys(MATCH), dict.fromkeys(MATCH, "")])
    def test_missing_fields_are_empty_text(self, match: dict[str, Any]) -> None:
        assert decode_one(annotated({"topResults": [match]})).matches == (CopyMatch("", "", "", "", 1, "", ""),)

    @pytest.mark.parametrize(
        ("urls", "domain", "site"),
        [
            ({"pageUrl": "https://Img.Shop.example.co.uk./a"}, "img.shop.example.co.uk", "example.co.uk"),
            ({"pageUrl": "http://www.xn--e1afmkfd.xn--p1ai/"}, "www.пример.рф", "пример.рф"),
            ({"pageUrl": "https://192.168.0.1:80/", "imageUrl": "https://a.test/"}, "192.168.0.1", "192.168.0.1"),
            ({"pageUrl": "", "imageUrl": "https://cdn.a.test/1.jpg"}, "cdn.a.test", "a.test"),
        ],
    )
    def test_are_on_a_host_and_its_site(self, urls: dict[str, str], domain: str, site: str) -> None:
        [match] = decode_one(annotated({"topResults": [urls]})).matches
        assert (match.domain, match.site) == (domain, site)

    def test_without_a_count_mean_found(self) -> None:
        assert decode_one(annotated({"topResults": [MATCH]})).status == "found"

    def test_need_not_be_listed(self) -> None:
        result = decode_one(annotated({"copyCount": 2, "topResults": None}))
        assert (result.status, result.copy_count, result.matches) == ("found", 2, ())

    def test_may_have_unknown_keys(self) -> None:
        result = annotated({"copyCount": 1, "topResults": [{**MATCH, "width": 5}], "newField": {}})
        assert decode_one({**result, "page": 1}).status == "found"

    def test_keep_any_language(self) -> None:
        [match] = decode_one(annotated({"topResults": [{"title": "Кот <b>& 猫 🐈</b>"}]})).matches
        assert match.title == "Кот <b>& 猫 🐈</b>"

    def test_lose_what_databases_cannot_store(self) -> None:
        [match] = decode_one(annotated({"topResults": [{"title": "a\x00b\ud83dc"}]})).matches
        assert match.title == "a\ufffdb\ufffdc"


class TestErrorOfOneImage:
    @pytest.mark.parametrize("level", ["file", "feature"])
    def test_with_code_3_rejects_the_image(self, level: str) -> None:
        result = decode_one(failed(level, {"code": 3, "message": "Can't decode Image"}))
        assert (result.status, result.error_code, result.copy_count) == ("rejected", "INVALID_ARGUMENT", None)
        assert result.error_message == "Can't decode Image"

    @pytest.mark.parametrize("level", ["file", "feature"])
    @pytest.mark.parametrize(
        ("code", "name"), [(8, "RESOURCE_EXHAUSTED"), (13, "INTERNAL"), (14, "UNAVAILABLE"), (99, "99")]
    )
    def test_with_another_code_is_a_failure(self, level: str, code: int, name: str) -> None:
        result = decode_one(failed(level, {"code": code, "message": "busy", "details": []}))
        assert (result.status, result.error_code, result.copy_count) == ("failed", name, None)

    @pytest.mark.parametrize("level", ["file", "feature"])
    def test_with_code_12_says_that_copy_search_seems_to_be_off(self, level: str) -> None:
        result = decode_one(failed(level, {"code": 12, "message": "no such feature"}))
        assert (result.status, result.error_code) == ("failed", "UNIMPLEMENTED")
        assert result.error_message == "copy search seems to be off: no such feature"

    def test_may_have_no_message(self) -> None:
        assert decode_one({"error": {"code": 3}}).error_message == ""

    def test_may_have_no_code(self) -> None:
        result = decode_one({"error": {"message": "odd"}})
        assert (result.status, result.error_code, result.error_message) == ("failed", "UNKNOWN", "odd")

    @pytest.mark.parametrize("nothing", [None, {}, {"code": 0, "message": ""}])
    def test_with_default_values_is_no_error(self, nothing: Any) -> None:
        result = {"error": nothing, "results": [{"error": nothing, "imageCopySearch": {"copyCount": 1}}]}
        assert decode_one(result).status == "found"

    def test_takes_precedence_over_an_annotation(self) -> None:
        result = {"results": [{"imageCopySearch": {"copyCount": 1}, "error": {"code": 13}}]}
        assert decode_one(result).status == "failed"

    @pytest.mark.parametrize("error", ["bad", 3, [], {"code": "3"}, {"code": True}, {"code": 3.0}, {"message": 5}])
    def test_of_the_wrong_type_breaks_the_contract(self, error: Any) -> None:
        with pytest.raises(ProtocolError):
            decode_one({"error": error})


@pytest.mark.parametrize(
    "result", [{}, {"results": None}, {"results": []}, {"results": [{}]}, annotated(None), {"results": [{"faces": {}}]}]
)
def test_silence_is_never_taken_for_no_copies(result: Any) -> None:
    silent, good = decode(reply(result, annotated({})), 2)
    assert (silent.status, silent.error_code, silent.copy_count) == ("failed", "PROTOCOL", None)
    assert good.status == "none"
    with pytest.raises(ProtocolError, match="neither an annotation nor an error"):
        decode_one(result)


class TestReply:
    def test_broken_for_one_image_keeps_the_other_results(self) -> None:
        payload = reply(annotated({"copyCount": 2}), annotated({"copyCount": -1}), annotated({}))
        assert [result.error_code for result in decode(payload, 3)] == [None, "PROTOCOL", None]

    def test_broken_for_all_images_is_refused(self) -> None:
        with pytest.raises(ProtocolError, match="copyCount"):
            decode(reply(*[annotated({"copyCount": -1})] * 2), 2)

    def test_is_read_in_the_order_of_the_request(self) -> None:
        payload = reply(annotated({"copyCount": 2}), {"error": {"code": 3}}, annotated({}))
        assert [result.status for result in decode(payload, 3)] == ["found", "rejected", "none"]

    @pytest.mark.parametrize("count", [0, 1, 3, 9])
    def test_of_the_wrong_length_is_refused(self, count: int) -> None:
        with pytest.raises(ProtocolError, match=f"the reply has {count} results for 2 images"):
            decode(reply(*[annotated({})] * count), 2)

    @pytest.mark.parametrize("payload", [b"{}", b'{"results": null}', b'{"results": []}'])
    def test_without_results_fits_no_images_only(self, payload: bytes) -> None:
        assert decode(payload, 0) == []
        with pytest.raises(ProtocolError):
            decode(payload, 1)

    @pytest.mark.parametrize(
        "payload",
        [b"", b"<html>", b'{"results": [{"res', b"\xff\xfe\xfa", b"[" * 100_000, b'{"results":[' + b"9" * 5000 + b"]}"],
        ids=["empty", "html", "truncated", "not text", "deep", "long number"],
    )
    def test_that_is_not_json_is_refused(self, payload: bytes) -> None:
        with pytest.raises(ProtocolError, match=r"^the reply is not JSON$"):
            decode(payload, 1)

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
    def test_of_the_wrong_shape_is_refused(self, payload: bytes, reason: str) -> None:
        with pytest.raises(ProtocolError, match=f"^{reason}$"):
            decode(payload, 1)

    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            (None, "results[i] is not an object"),
            ("found", "results[i] is not an object"),
            ({"results": {}}, "results is not a list"),
            ({"results": [None]}, "results[i].results[j] is not an object"),
            ({"error": "no"}, "error is not an object"),
            ({"error": {"code": "3"}}, "code is not a whole number"),
            ({"error": {"message": 3}}, "message is not text"),
            (annotated([]), "imageCopySearch is not an object"),
            (annotated("13"), "imageCopySearch is not an object"),
            (annotated({"copyCount": []}), "copyCount is not a whole number"),
            (annotated({"copyCount": -1}), "copyCount is out of range"),
            (annotated({"topResults": {}}), "topResults is not a list"),
            (annotated({"topResults": ["https://a.test"]}), "topResults[k] is not an object"),
            (annotated({"topResults": [None]}), "topResults[k] is not an object"),
            (annotated({"topResults": [{"title": 5}]}), "title is not text"),
            (annotated({"topResults": [{"pageUrl": ["https://a.test"]}]}), "pageUrl is not text"),
        ],
    )
    def test_with_a_value_of_the_wrong_type_is_refused(self, result: Any, reason: str) -> None:
        with pytest.raises(ProtocolError, match=f"^{re.escape(reason)}$"):
            decode_one(result)

    def test_with_a_key_twice_is_refused(self) -> None:
        twice = b'{"results": [{"results": [{"imageCopySearch": {"copyCount": "1", "copyCount": "2"}}]}]}'
        with pytest.raises(ProtocolError, match="imageCopySearch is not an object"):
            decode(twice, 1)


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
def test_error_body_is_read_in_every_shape_seen(body: Any, expected: tuple[str | None, str | None]) -> None:
    assert decode_error(json.dumps(body).encode()) == expected


@pytest.mark.parametrize("payload", [b"", b"<html>502</html>", b"\xff\xfe", b"[" * 100_000])
def test_error_body_may_not_be_json(payload: bytes) -> None:
    assert decode_error(payload) == (None, None)
