from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from typing import Any

import pytest
from google.protobuf import json_format
from yandex.cloud.ai.vision.v1 import vision_service_pb2

from airflow_provider_yandex_vision.emulator.copies import CopyIndex, fingerprint
from airflow_provider_yandex_vision.emulator.pages import Page
from airflow_provider_yandex_vision.emulator.service import Answer, Service

KEY = {"authorization": "Api-Key key"}


@pytest.fixture
def service(index: CopyIndex[Page]) -> Service:
    return Service(index, api_key="key")


def ask(service: Service, *contents: bytes, features: tuple[str, ...] = ("IMAGE_COPY_SEARCH",)) -> list[Any]:
    """Search, and check the reply against the vendor's schema."""
    specs = [
        {"content": base64.b64encode(content).decode(), "features": [{"type": feature} for feature in features]}
        for content in contents
    ]
    reply = post(service, {"analyzeSpecs": specs})
    assert reply.status == 200
    json_format.Parse(reply.body, vision_service_pb2.BatchAnalyzeResponse())
    return list(json.loads(reply.body)["results"])


def post(service: Service, request: Any, headers: dict[str, str] = KEY) -> Answer:
    return service.answer("POST", "/vision/v1/batchAnalyze", headers, json.dumps(request).encode())


def png_header(width: int, height: int) -> bytes:
    """A PNG with a header and no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"")


def test_copies_are_found_and_described(service: Service, cat: bytes) -> None:
    assert ask(service, cat) == [
        {
            "results": [
                {
                    "imageCopySearch": {
                        "topResults": [
                            {
                                "imageUrl": "https://cats.example/best%20of%202024/my-cat.jpg",
                                "pageUrl": "https://cats.example/best%20of%202024",
                                "title": "my cat",
                            },
                            {
                                "imageUrl": "https://news.example/front.jpg",
                                "pageUrl": "news.example/?id=7",
                                "title": "Кот недели",
                                "description": "«Мяу»",
                            },
                        ],
                        "copyCount": "2",
                    }
                }
            ]
        }
    ]


def test_image_without_copies_has_an_empty_annotation(service: Service, rocket: bytes) -> None:
    assert ask(service, rocket) == [{"results": [{"imageCopySearch": {}}]}]


def test_results_keep_the_order_of_the_request(service: Service, cat: bytes, rocket: bytes) -> None:
    found, none = ask(service, cat)[0], ask(service, rocket)[0]
    assert ask(service, rocket, cat, rocket, cat) == [none, found, none, found]


def test_ten_best_are_listed_and_all_are_counted(cat: bytes) -> None:
    known = fingerprint(cat)
    pages = [Page("a.example", f"https://a.example/{n}.jpg", "", "") for n in range(13)]
    reply = ask(Service(CopyIndex((page, known) for page in pages)), cat)
    annotation = reply[0]["results"][0]["imageCopySearch"]
    assert annotation["topResults"] == [page.to_json() for page in pages[:10]]
    assert annotation["copyCount"] == "13"


def test_undecodable_image_does_not_affect_others(service: Service, cat: bytes, rocket: bytes) -> None:
    undecodable = {"error": {"code": 3, "message": "Can't decode Image"}}
    found, broken, text, empty = ask(service, cat, rocket[:-1000], b"text", b"")
    assert [broken, text, empty] == [undecodable] * 3
    assert found == ask(service, cat)[0]


def test_gif_is_an_error(service: Service, photo: Any) -> None:
    assert "error" in ask(service, photo("no_time_for_that_tiny.gif"))[0]


@pytest.mark.parametrize("size", [(5000, 4001), (60_000, 60_000)])
def test_too_many_pixels_are_an_error_per_feature(service: Service, size: tuple[int, int]) -> None:
    features = ask(service, png_header(*size), features=("IMAGE_COPY_SEARCH",) * 2)[0]["results"]
    too_large = {"code": 3, "message": "Image is too large: at most 20000000 pixels are allowed"}
    assert features == [{"error": too_large}] * 2


def test_pixel_limit_is_inclusive(service: Service) -> None:
    assert ask(service, png_header(5000, 4000))[0]["error"]["message"] == "Can't decode Image"


def test_unsupported_feature_fails_alone(service: Service, rocket: bytes) -> None:
    copies, faces = ask(service, rocket, features=("IMAGE_COPY_SEARCH", "FACE_DETECTION"))[0]["results"]
    assert copies == {"imageCopySearch": {}}
    assert faces["error"]["code"] == 12


@pytest.mark.parametrize("headers", [{}, {"authorization": "Api-Key other"}, {"authorization": "Bearer key"}])
def test_other_keys_are_rejected(service: Service, headers: dict[str, str]) -> None:
    reply = post(service, {"analyzeSpecs": []}, headers)
    assert reply.status == 401
    assert json.loads(reply.body) == {"code": 16, "message": "Unknown api key", "details": []}


def test_no_key_is_needed_by_default(index: CopyIndex[Page]) -> None:
    assert post(Service(index), {"analyzeSpecs": []}, {}).status == 400


@pytest.mark.parametrize(("method", "path"), [("GET", "/vision/v1/batchAnalyze"), ("POST", "/"), ("GET", "/x")])
def test_other_paths_are_404(service: Service, method: str, path: str) -> None:
    reply = service.answer(method, path, KEY, b"")
    assert reply.status == 404
    assert json.loads(reply.body)["code"] == 5


def test_every_reply_has_unique_ids(service: Service, rocket: bytes) -> None:
    replies = [post(service, {}), post(service, {}, {}), service.answer("GET", "/statistics", {}, b"")]
    ids = [reply.headers[name] for reply in replies for name in ("x-request-id", "x-server-trace-id")]
    assert len(set(ids)) == 6


def test_burst_is_limited_to_one_seconds_requests(index: CopyIndex[Page]) -> None:
    now = [100.0]
    service = Service(index, requests_per_second=3, clock=lambda: now[0])

    def statuses(requests: int) -> list[int]:
        return [post(service, {}).status for _ in range(requests)]

    assert statuses(4) == [400, 400, 400, 429]
    now[0] += 0.34
    assert statuses(2) == [400, 429]
    now[0] += 3600
    assert statuses(4) == [400, 400, 400, 429]
    assert json.loads(post(service, {}).body)["code"] == 8


def test_rate_below_one_allows_single_requests(index: CopyIndex[Page]) -> None:
    now = [0.0]
    service = Service(index, requests_per_second=0.5, clock=lambda: now[0])
    assert [post(service, {}).status for _ in range(2)] == [400, 429]
    now[0] = 2.0
    assert [post(service, {}).status for _ in range(2)] == [400, 429]


def test_latency_applies_to_searches_only(index: CopyIndex[Page], rocket: bytes) -> None:
    waits: list[float] = []
    service = Service(index, latency=0.25, sleep=waits.append)
    post(service, {})
    assert waits == []
    ask(service, rocket)
    assert waits == [0.25]


def test_statistics_count_requests_and_billed_images(service: Service, cat: bytes, rocket: bytes) -> None:
    ask(service, cat, rocket, b"text")
    ask(service, cat, features=("IMAGE_COPY_SEARCH", "CLASSIFICATION"))
    post(service, {})
    reply = service.answer("GET", "/statistics", {}, b"")
    assert json.loads(reply.body) == {
        "requests": {"200": 2, "400": 1},
        "images": 3,
        "billed": {hashlib.sha256(cat).hexdigest(): 2, hashlib.sha256(rocket).hexdigest(): 1},
    }
