"""Requests and replies agree with the vendor's own schema."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from yandex.cloud import validation_pb2
from yandex.cloud.ai.vision.v1.image_copy_search_pb2 import CopyMatch, ImageCopySearchAnnotation
from yandex.cloud.ai.vision.v1.vision_service_pb2 import (
    AnalyzeResult,
    AnalyzeSpec,
    BatchAnalyzeRequest,
    BatchAnalyzeResponse,
    Feature,
    FeatureResult,
)

from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from airflow_provider_yandex_vision.search.defaults import MAX_IMAGE_BYTES
from airflow_provider_yandex_vision.vision import CopyMatch as OurMatch
from airflow_provider_yandex_vision.vision.wire import (
    MAX_IMAGES_PER_REQUEST,
    RequestBody,
    decode_reply,
    encode_image,
)
from tests.vision.conftest import NOW, prepared


def parse(body: RequestBody) -> Any:
    return json_format.Parse(b"".join(body), BatchAnalyzeRequest(), ignore_unknown_fields=False)


def limit(message: type[Message], field: str, option: Any) -> str:
    return str(message.DESCRIPTOR.fields_by_name[field].GetOptions().Extensions[option])


@pytest.mark.parametrize("folder_id", [None, "b1gvmob95yysaplct532"])
def test_request_follows_the_schema(folder_id: str | None) -> None:
    contents = [b"\xff\xd8\xff" + bytes(range(256)), b"\x89PNG\r\n\x1a\n"]
    types = ["image/jpeg", "image/png"]
    request = parse(RequestBody([encode_image(*spec) for spec in zip(contents, types, strict=True)], folder_id))
    assert [spec.content for spec in request.analyze_specs] == contents
    assert [spec.mime_type for spec in request.analyze_specs] == types
    assert all([f.type for f in spec.features] == [Feature.IMAGE_COPY_SEARCH] for spec in request.analyze_specs)
    assert request.folder_id == (folder_id or "")


def test_access_check_is_a_request_without_images() -> None:
    assert parse(RequestBody(())) == BatchAnalyzeRequest()


def test_request_has_at_most_as_many_images_as_allowed() -> None:
    assert limit(BatchAnalyzeRequest, "analyze_specs", validation_pb2.size) == f"1-{MAX_IMAGES_PER_REQUEST}"


def test_largest_image_just_fits_the_schema() -> None:
    longest = int(limit(AnalyzeSpec, "content", validation_pb2.length).removeprefix("<="))
    empty = len(encode_image(b"", "image/png"))
    assert len(encode_image(bytes(MAX_IMAGE_BYTES), "image/png")) - empty == longest
    assert len(encode_image(bytes(MAX_IMAGE_BYTES + 1), "image/png")) - empty > longest


def test_form_limits_folder_id_as_the_schema_does() -> None:
    field = get_provider_info()["connection-types"][0]["conn-fields"]["folder_id"]
    assert limit(BatchAnalyzeRequest, "folder_id", validation_pb2.length) == f"<={field['schema']['maxLength']}"


MATCHES = [
    CopyMatch(image_url="https://i.test/1.jpg", page_url="vk.com/wall-1_2", title="Кот", description="on a mat"),
    CopyMatch(page_url="http://пример.рф/"),
]
RESPONSE = BatchAnalyzeResponse(
    results=[
        AnalyzeResult(
            results=[FeatureResult(image_copy_search=ImageCopySearchAnnotation(copy_count=13, top_results=MATCHES))]
        ),
        AnalyzeResult(results=[FeatureResult(image_copy_search=ImageCopySearchAnnotation())]),
        AnalyzeResult(error=Status(code=3, message="Can't decode Image")),
        AnalyzeResult(results=[FeatureResult(error=Status(code=8, message="limit exceeded"))]),
        AnalyzeResult(results=[FeatureResult()]),
    ]
)
IMAGES = prepared(*"abcde")
RESULTS = [
    IMAGES[0].result(
        "found",
        NOW,
        copy_count=13,
        matches=(
            OurMatch("https://i.test/1.jpg", "vk.com/wall-1_2", "Кот", "on a mat", 1, "vk.com", "vk.com"),
            OurMatch("", "http://пример.рф/", "", "", 2, "пример.рф", "пример.рф"),
        ),
    ),
    IMAGES[1].result("none", NOW, copy_count=0),
    IMAGES[2].result("rejected", NOW, error_code="INVALID_ARGUMENT", error_message="Can't decode Image"),
    IMAGES[3].result("failed", NOW, error_code="RESOURCE_EXHAUSTED", error_message="limit exceeded"),
    IMAGES[4].result(
        "failed",
        NOW,
        error_code="PROTOCOL",
        error_message="the reply has neither an annotation nor an error",
    ),
]


# Renamed in protobuf 5.26.
DEFAULTS_OPTION = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToJson).parameters
)


@pytest.mark.parametrize("with_defaults", [False, True])
def test_reply_is_read_with_or_without_default_values(with_defaults: bool) -> None:
    options: Any = {DEFAULTS_OPTION: with_defaults}
    printed = json_format.MessageToJson(RESPONSE, **options)
    assert decode_reply(printed.encode(), IMAGES, NOW) == RESULTS
    plain = json_format.MessageToDict(RESPONSE, **options)
    assert decode_reply(json.dumps(plain).encode(), IMAGES, NOW) == RESULTS
