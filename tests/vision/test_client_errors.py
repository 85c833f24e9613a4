from __future__ import annotations

import json
from typing import Any

import pytest
from requests_mock import Mocker

from airflow_provider_yandex_vision.vision import VisionClient
from airflow_provider_yandex_vision.vision.client import MAX_MESSAGE_CHARACTERS
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    CopySearchOffError,
)
from airflow_provider_yandex_vision.vision.faults import Level, fault_of
from tests.vision.conftest import URL, error_of, sent

BODIES = [
    ({"code": 16, "message": "the message", "details": []}, "UNAUTHENTICATED"),
    ({"error": {"grpcCode": 3, "httpCode": 400, "message": "the message"}}, "INVALID_ARGUMENT"),
    ({"error_code": "UNAUTHORIZED", "error_message": "the message"}, "UNAUTHORIZED"),
]


class TestError:
    @pytest.mark.parametrize("status", [100, 204, 302, 400, 401, 403, 404, 409, 429, 500, 504])
    def test_class_follows_from_the_table_of_faults(self, client: VisionClient, service: Mocker, status: int) -> None:
        service.post(URL, status_code=status)
        error = error_of(client)
        assert type(error) is fault_of(Level.REQUEST, status)
        assert error.http_status == status

    @pytest.mark.parametrize(
        "reply", [{"status_code": 404, "text": "no such page"}, {"status_code": 501, "json": {"code": 12}}]
    )
    def test_says_that_copy_search_seems_to_be_off(
        self, client: VisionClient, service: Mocker, reply: dict[str, Any]
    ) -> None:
        service.post(URL, **reply)
        error = error_of(client)
        assert isinstance(error, CopySearchOffError)
        assert error.message.startswith("copy search seems to be off, or the connection's host is wrong: ")

    @pytest.mark.parametrize(("body", "code"), BODIES)
    def test_has_the_message_of_the_service(
        self, client: VisionClient, service: Mocker, body: dict[str, Any], code: str
    ) -> None:
        service.post(URL, status_code=401, json=body)
        error = error_of(client)
        assert (error.message, error.code) == ("the message", code)

    def test_from_a_load_balancer_is_one_line_of_text(self, client: VisionClient, service: Mocker) -> None:
        page = "<html><style>p {}</style><body>\n<h1>502</h1>\n  Bad <b>Gateway</b></body><script>x()</script></html>"
        service.post(URL, status_code=502, text=page)
        assert error_of(client).message == "502 Bad Gateway"

    @pytest.mark.parametrize("body", ["lorem ipsum " * 10_000, json.dumps({"code": 3, "message": "x" * 100_000})])
    def test_long_message_is_truncated(self, client: VisionClient, service: Mocker, body: str) -> None:
        service.post(URL, status_code=400, text=body)
        assert len(error_of(client).message) == MAX_MESSAGE_CHARACTERS

    def test_has_images_request_id_and_trace_id(self, client: VisionClient, service: Mocker) -> None:
        headers = {"x-request-id": "req-1", "x-server-trace-id": "trace-2"}
        service.post(URL, status_code=500, headers=headers)
        error = error_of(client, "memory://a")
        assert (error.request_id, error.trace_id) == ("req-1", "trace-2")
        assert str(error) == "no explanation given (HTTP 500, request id req-1, trace id trace-2, images memory://a)"

    def test_without_a_request_id_has_the_one_that_was_sent(self, client: VisionClient, service: Mocker) -> None:
        service.post(URL, status_code=500)
        assert error_of(client).request_id == sent(service).headers["x-client-request-id"]

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_redirect_is_not_followed(self, client: VisionClient, service: Mocker, status: int) -> None:
        service.post(URL, status_code=status, headers={"Location": "https://elsewhere.test/"})
        error = error_of(client)
        assert isinstance(error, AccessError)
        assert "redirects are not followed" in error.message
        assert service.call_count == 1

    def test_folder_mismatch_is_an_access_error_with_a_hint(self, client: VisionClient, service: Mocker) -> None:
        message = "Specified folder ID 'b1g' does not match with service account folder ID 'b1h'"
        service.post(URL, status_code=400, json={"code": 3, "message": message})
        error = error_of(client)
        assert type(error) is AccessError
        assert error.message == f"{message}; clear folder_id in the connection"

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("7", 7.0),
            ("0.5", 0.5),
            ("-7", 0.0),
            ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
            ("Thu, 01 Jan 2026 15:00:30 +0300", 30.0),
            ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
            ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
            ("1e300", 86_400.0),
            ("Fri, 31 Dec 9999 23:59:59 -2359", 86_400.0),
            ("soon", None),
            ("", None),
            ("nan", None),
            ("inf", None),
            ("Thu, 99 Foo 2026", None),
            ("Thu, 01 Jan 2026 12:00:30 +99999999999999", None),
        ],
    )
    def test_retry_after_is_read_and_capped(
        self, client: VisionClient, service: Mocker, header: str, seconds: float | None
    ) -> None:
        service.post(URL, status_code=429, headers={"Retry-After": header})
        assert error_of(client).retry_after == seconds

    def test_retry_after_is_optional(self, client: VisionClient, service: Mocker) -> None:
        service.post(URL, status_code=429)
        assert error_of(client).retry_after is None
