"""The vendor's own schema is the judge of what is sent and of what is read."""

from __future__ import annotations

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
from airflow_provider_yandex_vision.vision.models import (
    MAX_CONTENT_BYTES,
    MAX_IMAGES_PER_REQUEST,
    Answer,
    RequestBody,
    encode_spec,
)
from airflow_provider_yandex_vision.vision.models import CopyMatch as OurMatch
from airflow_provider_yandex_vision.vision.wire import decode_reply


def parse(body: RequestBody) -> Any:
    return json_format.Parse(b"".join(body), BatchAnalyzeRequest(), ignore_unknown_fields=False)


def limit(message: type[Message], field: str, option: Any) -> str:
    return str(message.DESCRIPTOR.fields_by_name[field].GetOptions().Extensions[option])


@pytest.mark.parametrize("folder_id", [None, "b1gvmob95yysaplct532"])
def test_a_request_is_one_the_schema_knows(folder_id: str | None) -> None:
    contents = [b"\xff\xd8\xff" + bytes(range(256)), b"\x89PNG\r\n\x1a\n"]
    types = ["image/jpeg", "image/png"]
    request = parse(RequestBody([encode_spec(*spec) for spec in zip(contents, types, strict=True)], folder_id))
    assert [spec.content for spec in request.analyze_specs] == contents
    assert [spec.mime_type for spec in request.analyze_specs] == types
    assert all([f.type for f in spec.features] == [Feature.IMAGE_COPY_SEARCH] for spec in request.analyze_specs)
    assert request.folder_id == (folder_id or "")


def test_the_access_check_is_a_request_without_images() -> None:
    assert parse(RequestBody(())) == BatchAnalyzeRequest()


def test_a_request_has_no_more_images_than_the_schema_takes() -> None:
    assert limit(BatchAnalyzeRequest, "analyze_specs", validation_pb2.size) == f"1-{MAX_IMAGES_PER_REQUEST}"


def test_the_largest_content_just_fits_the_schema() -> None:
    longest = int(limit(AnalyzeSpec, "content", validation_pb2.length).removeprefix("<="))
    empty = len(encode_spec(b"", "image/png"))
    assert len(encode_spec(bytes(MAX_CONTENT_BYTES), "image/png")) - empty == longest
    assert len(encode_spec(bytes(MAX_CONTENT_BYTES + 1), "image/png")) - empty > longest


def test_the_form_takes_no_longer_folder_id_than_the_schema() -> None:
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
ANSWERS = [
    Answer(
        "found",
        13,
        (
            OurMatch("https://i.test/1.jpg", "vk.com/wall-1_2", "Кот", "on a mat", 1, "vk.com"),
            OurMatch("", "http://пример.рф/", "", "", 2, "пример.рф"),
        ),
    ),
    Answer("none", 0),
    Answer("rejected", error_code="INVALID_ARGUMENT", error_message="Can't decode Image"),
    Answer("failed", error_code="RESOURCE_EXHAUSTED", error_message="limit exceeded"),
    Answer("failed", error_code="PROTOCOL", error_message="the reply has neither an annotation nor an error"),
]


@pytest.mark.parametrize("with_defaults", [False, True])
def test_a_reply_of_a_standard_server_is_read_with_defaults_printed_or_left_out(with_defaults: bool) -> None:
    printed = json_format.MessageToJson(RESPONSE, always_print_fields_with_no_presence=with_defaults)
    assert decode_reply(printed.encode(), len(ANSWERS)) == ANSWERS
    plain = json_format.MessageToDict(RESPONSE, always_print_fields_with_no_presence=with_defaults)
    assert decode_reply(json.dumps(plain).encode(), len(ANSWERS)) == ANSWERS
