from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import json_format
from yandex.cloud.ai.vision.v1 import vision_service_pb2

from airflow_provider_yandex_vision.emulator.contract import (
    FEATURE_TYPES,
    MAX_CONTENT_CHARACTERS,
    AnalyzeSpec,
    Refusal,
    parse_request,
)
from airflow_provider_yandex_vision.vision.wire import RequestBody, encode_image

OWN_FOLDER = "b1gown"
COPY_SEARCH = {"type": "IMAGE_COPY_SEARCH"}
CONTENT = base64.b64encode(b"image").decode()


def spec(**changes: Any) -> dict[str, Any]:
    return {"features": [COPY_SEARCH], "mimeType": "image/jpeg", "content": CONTENT, **changes}


def parse(request: Any) -> list[AnalyzeSpec]:
    return parse_request(json.dumps(request).encode(), OWN_FOLDER)


def refusal(request: Any) -> str:
    with pytest.raises(Refusal) as caught:
        parse(request)
    assert caught.value.status == 400
    assert caught.value.body["code"] == 3
    assert caught.value.body["details"] == []
    return str(caught.value.body["message"])


def test_images_keep_their_order() -> None:
    other = spec(content=base64.b64encode(b"other").decode(), features=[COPY_SEARCH, {"type": "CLASSIFICATION"}])
    assert parse({"analyzeSpecs": [spec(), other], "folderId": OWN_FOLDER}) == [
        AnalyzeSpec(b"image", ("IMAGE_COPY_SEARCH",)),
        AnalyzeSpec(b"other", ("IMAGE_COPY_SEARCH", "CLASSIFICATION")),
    ]


def test_requests_of_this_package_are_accepted() -> None:
    body = b"".join(RequestBody([encode_image(b"image", "image/png")] * 8))
    assert parse_request(body, OWN_FOLDER) == [AnalyzeSpec(b"image", ("IMAGE_COPY_SEARCH",))] * 8


def test_null_means_missing() -> None:
    assert parse({"analyzeSpecs": [spec(mimeType=None)], "folderId": None}) == parse({"analyzeSpecs": [spec()]})


def test_feature_types_are_the_vendors() -> None:
    assert tuple(vision_service_pb2.Feature.Type.keys()) == FEATURE_TYPES


@pytest.mark.parametrize(
    "request_",
    [
        {"analyzeSpec": []},
        {"analyzeSpecs": [spec(image="x")]},
        {"analyzeSpecs": [spec(features=[{"type": "COPY_SEARCH"}])]},
        {"analyzeSpecs": [spec(features=[{"kind": "IMAGE_COPY_SEARCH"}])]},
        {"analyzeSpecs": [spec(signature="s")]},
        {"analyzeSpecs": [spec(mimeType=1)]},
        {"analyzeSpecs": [None]},
        {"analyzeSpecs": {"a": 1}},
    ],
)
def test_what_the_vendors_parser_rejects_is_rejected(request_: Any) -> None:
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict(request_, vision_service_pb2.BatchAnalyzeRequest())
    assert refusal(request_)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "request is not an object"),
        ({}, "analyzeSpecs must have 1 to 8 elements"),
        ({"analyzeSpecs": []}, "analyzeSpecs must have 1 to 8 elements"),
        ({"analyzeSpecs": [spec()] * 9}, "analyzeSpecs must have 1 to 8 elements"),
        ({"analyzeSpecs": [spec(features=[])]}, r"analyzeSpecs[0].features must have 1 to 8 elements"),
        ({"analyzeSpecs": [spec(features=[COPY_SEARCH] * 9)]}, "features must have 1 to 8 elements"),
        ({"analyzeSpecs": [spec(), spec(mimeType="x" * 256)]}, "analyzeSpecs[1].mimeType must be text of at most 255"),
        ({"analyzeSpecs": [spec()], "folderId": "x" * 51}, "folderId must be text of at most 50"),
        ({"analyzeSpecs": [spec(content="A" * (MAX_CONTENT_CHARACTERS + 4))]}, "at most 10485760 characters"),
        ({"analyzeSpecs": [spec(content="data:image/jpeg;base64," + CONTENT)]}, "content is not base64"),
        ({"analyzeSpecs": [spec(content=CONTENT[:4] + "\n" + CONTENT[4:])]}, "content is not base64"),
        ({"analyzeSpecs": [spec(content="Ж")]}, "content is not base64"),
        ({"analyzeSpecs": [spec(content="A")]}, "content is not base64"),
    ],
)
def test_rejection_names_the_field_and_the_rule(request_: Any, message: str) -> None:
    assert message in refusal(request_)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_body_that_is_not_json_is_rejected(body: bytes) -> None:
    with pytest.raises(Refusal, match="the body is not JSON"):
        parse_request(body, OWN_FOLDER)


def test_limits_are_inclusive() -> None:
    largest = spec(features=[COPY_SEARCH] * 8, mimeType="x" * 255, content="A" * MAX_CONTENT_CHARACTERS)
    assert len(parse({"analyzeSpecs": [largest]})[0].content) == 7_864_320


def test_another_accounts_folder_is_rejected() -> None:
    message = refusal({"analyzeSpecs": [spec()], "folderId": "b1gforeign"})
    assert message == "Specified folder ID 'b1gforeign' does not match with service account folder ID 'b1gown'"
