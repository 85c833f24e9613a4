from __future__ import annotations

import copy
import gzip
import json
import pickle
import traceback
import uuid
from typing import Any

import pytest
from requests_mock import Mocker

from airflow_provider_yandex_vision.vision import ApiKey, VisionClient
from airflow_provider_yandex_vision.vision.client import MAX_MESSAGE_CHARACTERS
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    PermissionDeniedError,
    ProtocolError,
    ServiceError,
    UnavailableError,
)
from airflow_provider_yandex_vision.vision.transport import MAX_REPLY_BYTES
from airflow_provider_yandex_vision.vision.wire import encode_image
from tests.support.pictures import png, without_comma
from tests.support.secrets import API_KEY
from tests.vision.conftest import NO_COPIES, NOW, URL, error_of, new_client, prepared, sent


def answer(service: Mocker, *results: dict[str, Any]) -> None:
    service.post(URL, json={"results": results})


class TestRequest:
    def test_has_the_key_in_its_header(self, client: VisionClient, service: Mocker) -> None:
        answer(service, NO_COPIES)
        client.batch_analyze(prepared())
        headers = sent(service).headers
        assert headers["Authorization"] == f"Api-Key {API_KEY}"
        assert headers["Content-Type"] == "application/json"
        assert "x-data-logging-enabled" not in headers

    def test_has_the_images_in_order(self, client: VisionClient, service: Mocker) -> None:
        answer(service, NO_COPIES, NO_COPIES)
        client.batch_analyze(prepared("memory://a", "memory://b"))
        body = b"".join(sent(service).body)
        specs = [without_comma(encode_image(png(uri), "image/png")).decode() for uri in ("memory://a", "memory://b")]
        assert body.decode() == f'{{"analyzeSpecs":[{specs[0]},{specs[1]}]}}'
        assert sent(service).headers["Content-Length"] == str(len(body))
        assert "Transfer-Encoding" not in sent(service).headers

    def test_has_a_unique_id(self, client: VisionClient, service: Mocker) -> None:
        answer(service, NO_COPIES)
        for _ in range(2):
            client.batch_analyze(prepared())
        ids = {uuid.UUID(request.headers["x-client-request-id"]) for request in service.request_history}
        assert len(ids) == 2

    @pytest.mark.parametrize(("folder_id", "expected"), [(None, None), ("", None), ("b1g", "b1g")])
    def test_has_a_folder_id_only_if_one_is_set(
        self, service: Mocker, folder_id: str | None, expected: str | None
    ) -> None:
        answer(service, NO_COPIES)
        new_client(folder_id=folder_id).batch_analyze(prepared())
        assert json.loads(b"".join(sent(service).body)).get("folderId") == expected

    @pytest.mark.parametrize("host", ["https://proxy.test/vision-api", "https://proxy.test/vision-api/"])
    def test_goes_to_a_path_below_the_base_url(self, service: Mocker, host: str) -> None:
        url = "https://proxy.test/vision-api/vision/v1/batchAnalyze"
        service.post(url, json={"results": [NO_COPIES]})
        new_client(host=host).batch_analyze(prepared())
        assert sent(service).url == url


class TestResults:
    def test_are_in_order_and_describe_the_images(self, client: VisionClient, service: Mocker) -> None:
        found = {"results": [{"imageCopySearch": {"copyCount": "2", "topResults": [{"pageUrl": "p.test/1"}]}}]}
        answer(service, {"error": {"code": 3, "message": "Can't decode Image"}}, found)
        rejected, result = client.batch_analyze(images := prepared("memory://bad", "memory://good"))
        assert (rejected.uri, rejected.status, rejected.error_message) == (
            "memory://bad",
            "rejected",
            "Can't decode Image",
        )
        assert (result.uri, result.status, result.copy_count) == ("memory://good", "found", 2)
        assert result.matches[0].domain == "p.test"
        assert (result.sha256, result.size) == (images[1].sha256, len(png("memory://good")))
        assert (result.mime_type, result.etag, result.searched_at) == ("image/png", "v1", NOW)

    def test_fewer_than_images_is_a_protocol_error(self, client: VisionClient, service: Mocker) -> None:
        answer(service, NO_COPIES)
        error = error_of(client, "memory://a", "memory://b")
        assert isinstance(error, ProtocolError)
        assert error.uris == ("memory://a", "memory://b")
        assert error.request_id == sent(service).headers["x-client-request-id"]

    @pytest.mark.parametrize("text", ["<html>Welcome</html>", '{"results": [{"resu', ""])
    def test_that_are_not_json_are_a_protocol_error(self, client: VisionClient, service: Mocker, text: str) -> None:
        service.post(URL, text=text)
        assert isinstance(error_of(client), ProtocolError)

    def test_may_be_compressed(self, client: VisionClient, service: Mocker) -> None:
        packed = gzip.compress(json.dumps({"results": [NO_COPIES]}).encode())
        service.post(URL, content=packed, headers={"Content-Encoding": "gzip"})
        assert client.batch_analyze(prepared())[0].status == "none"

    @pytest.mark.parametrize("packed", [False, True])
    def test_that_are_too_large_are_a_protocol_error(self, client: VisionClient, service: Mocker, packed: bool) -> None:
        content = bytes(MAX_REPLY_BYTES + 1)
        headers = {"Content-Encoding": "gzip"} if packed else {}
        service.post(URL, content=gzip.compress(content, 1) if packed else content, headers=headers)
        error = error_of(client)
        assert isinstance(error, ProtocolError)
        assert "larger than 33,554,432 bytes" in str(error)
        assert error.request_id == sent(service).headers["x-client-request-id"]


class TestAccessCheck:
    def test_sends_no_image(self, client: VisionClient, service: Mocker) -> None:
        service.post(URL, status_code=400, json={"code": 3, "message": "analyze_specs: 1-8"})
        client.check_access()
        assert b"".join(sent(service).body) == b'{"analyzeSpecs":[]}'

    @pytest.mark.parametrize("body", ["{}", '{"results": []}'])
    def test_accepts_an_empty_reply(self, client: VisionClient, service: Mocker, body: str) -> None:
        service.post(URL, text=body)
        client.check_access()

    @pytest.mark.parametrize(
        ("status", "text", "kind"),
        [
            (401, "{}", AuthenticationError),
            (403, "{}", PermissionDeniedError),
            (503, "", UnavailableError),
            (404, "<html>", AccessError),
            (200, "<html>Welcome to our site</html>", ProtocolError),
            (400, "<html>The plain HTTP request was sent to HTTPS port</html>", InvalidRequestError),
        ],
    )
    def test_raises_on_any_other_reply(
        self, client: VisionClient, service: Mocker, status: int, text: str, kind: type[ServiceError]
    ) -> None:
        service.post(URL, status_code=status, text=text)
        with pytest.raises(kind):
            client.check_access()


class TestKey:
    """The key is in the header and nowhere else; ``tests/conftest.py`` watches logs and output."""

    def test_is_not_in_a_repr(self, client: VisionClient) -> None:
        assert API_KEY not in repr(client) + repr(vars(client)) + repr(ApiKey(API_KEY))

    @pytest.mark.parametrize(
        "body",
        [
            f"<p>No access for Authorization: Api-Key {API_KEY}</p>",
            json.dumps({"code": 16, "message": f"Unknown api key '{API_KEY}'"}),
            json.dumps({"error_code": API_KEY, "error_message": "?"}),
            "x" * (MAX_MESSAGE_CHARACTERS - 20) + API_KEY,
        ],
        ids=["html", "message", "code", "truncated message"],
    )
    def test_is_hidden_if_the_service_echoes_it(self, client: VisionClient, service: Mocker, body: str) -> None:
        service.post(URL, status_code=401, text=body)
        error = error_of(client)
        shown = [*traceback.format_exception(error), repr(error), f"{copy.copy(error)}", repr(pickle.dumps(error))]
        assert API_KEY[:12] not in "".join(shown)

    @pytest.mark.parametrize("broken", [f"{API_KEY}\n", f"{API_KEY}\r\nX-Evil: 1", f"ключ{API_KEY}", f"{API_KEY} ", ""])
    def test_invalid_is_refused_without_showing_it(self, broken: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            ApiKey(broken)
        assert API_KEY not in "".join(traceback.format_exception(caught.value))
