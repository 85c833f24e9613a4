from __future__ import annotations

import json
from typing import Any

import pytest
import requests_mock

from airflow_provider_yandex_vision.vision.client import MAX_MESSAGE_CHARACTERS, VisionClient
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    AuthenticationError,
    FolderMismatchError,
    InvalidRequestError,
    PermissionDeniedError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)
from tests.vision.conftest import URL, error_of, sent

BODIES = [
    ({"code": 16, "message": "the words", "details": []}, "UNAUTHENTICATED"),
    ({"error": {"grpcCode": 3, "httpCode": 400, "message": "the words"}}, "INVALID_ARGUMENT"),
    ({"error_code": "UNAUTHORIZED", "error_message": "the words"}, "UNAUTHORIZED"),
]


class TestRefusal:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, InvalidRequestError),
            (413, InvalidRequestError),
            (401, AuthenticationError),
            (403, PermissionDeniedError),
            (404, AccessError),
            (408, UnavailableError),
            (429, ThrottledError),
            (500, UnavailableError),
            (502, UnavailableError),
            (503, UnavailableError),
            (504, UnavailableError),
            (204, AccessError),
        ],
    )
    def test_has_the_class_of_its_status(
        self, client: VisionClient, service: requests_mock.Adapter, status: int, kind: type[ServiceError]
    ) -> None:
        service.register_uri("POST", URL, status_code=status)
        error = error_of(client)
        assert type(error) is kind
        assert error.http_status == status

    @pytest.mark.parametrize(("body", "code"), BODIES)
    def test_is_told_in_the_words_of_the_service(
        self, client: VisionClient, service: requests_mock.Adapter, body: dict[str, Any], code: str
    ) -> None:
        service.register_uri("POST", URL, status_code=401, json=body)
        error = error_of(client)
        assert (error.message, error.code) == ("the words", code)

    def test_of_a_balancer_is_told_in_one_line(self, client: VisionClient, service: requests_mock.Adapter) -> None:
        page = "<html><style>p {}</style><body>\n<h1>502</h1>\n  Bad <b>Gateway</b></body><script>x()</script></html>"
        service.register_uri("POST", URL, status_code=502, text=page)
        assert error_of(client).message == "502 Bad Gateway"

    @pytest.mark.parametrize("body", ["lorem ipsum " * 10_000, json.dumps({"code": 3, "message": "x" * 100_000})])
    def test_of_many_words_is_cut(self, client: VisionClient, service: requests_mock.Adapter, body: str) -> None:
        service.register_uri("POST", URL, status_code=400, text=body)
        assert len(error_of(client).message) == MAX_MESSAGE_CHARACTERS

    def test_names_the_images_and_the_ids_that_support_asks_for(
        self, client: VisionClient, service: requests_mock.Adapter
    ) -> None:
        headers = {"x-request-id": "req-1", "x-server-trace-id": "trace-2"}
        service.register_uri("POST", URL, status_code=500, headers=headers)
        error = error_of(client, "memory://a")
        assert (error.request_id, error.trace_id) == ("req-1", "trace-2")
        assert str(error) == "no explanation given (HTTP 500, request id req-1, trace id trace-2, images memory://a)"

    def test_without_an_id_is_known_by_the_one_that_was_sent(
        self, client: VisionClient, service: requests_mock.Adapter
    ) -> None:
        service.register_uri("POST", URL, status_code=500)
        assert error_of(client).request_id == sent(service).headers["x-client-request-id"]

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_by_a_redirect_is_not_followed(
        self, client: VisionClient, service: requests_mock.Adapter, status: int
    ) -> None:
        service.register_uri("POST", URL, status_code=status, headers={"Location": "https://elsewhere.test/"})
        error = error_of(client)
        assert isinstance(error, AccessError)
        assert "redirects are not followed" in error.message
        assert service.call_count == 1

    def test_over_the_folder_says_what_to_clear(self, client: VisionClient, service: requests_mock.Adapter) -> None:
        message = "Specified folder ID 'b1g' does not match with service account folder ID 'b1h'"
        service.register_uri("POST", URL, status_code=400, json={"code": 3, "message": message})
        error = error_of(client)
        assert isinstance(error, FolderMismatchError)
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
    def test_tells_how_long_to_wait(
        self, client: VisionClient, service: requests_mock.Adapter, header: str, seconds: float | None
    ) -> None:
        service.register_uri("POST", URL, status_code=429, headers={"Retry-After": header})
        assert error_of(client).retry_after == seconds

    def test_without_retry_after_leaves_the_wait_open(
        self, client: VisionClient, service: requests_mock.Adapter
    ) -> None:
        service.register_uri("POST", URL, status_code=429)
        assert error_of(client).retry_after is None
