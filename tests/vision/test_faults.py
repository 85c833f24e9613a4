"""The table of faults."""

from __future__ import annotations

import pytest

from airflow_provider_yandex_vision.vision import errors
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    AuthenticationError,
    CopySearchOffError,
    InvalidRequestError,
    LostReplyError,
    PermissionDeniedError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)
from airflow_provider_yandex_vision.vision.faults import TABLE, Level, code_of, fault_of, may_be_billed


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, InvalidRequestError),
        (413, InvalidRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, CopySearchOffError),
        (301, AccessError),
        (308, AccessError),
        (429, ThrottledError),
        (None, LostReplyError),
        (103, LostReplyError),
        (504, LostReplyError),
        (202, ProtocolError),
        (204, ProtocolError),
        (206, ProtocolError),
    ],
)
def test_fault_of_a_request_follows_from_its_status(status: int | None, fault: type[ServiceError]) -> None:
    assert fault_of(Level.REQUEST, status) is fault


@pytest.mark.parametrize("status", [402, 405, 408, 409, 418, 421, 425, 499, 500, 502, 503, 599, 999])
def test_any_other_status_is_an_outage(status: int) -> None:
    assert fault_of(Level.REQUEST, status) is UnavailableError


def test_request_that_was_not_sent_cannot_have_been_billed() -> None:
    assert fault_of(Level.CONNECTION) is UnavailableError
    assert not UnavailableError.may_be_billed


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("INVALID_ARGUMENT", InvalidRequestError),
        ("UNAUTHENTICATED", AuthenticationError),
        ("PERMISSION_DENIED", PermissionDeniedError),
        ("UNIMPLEMENTED", CopySearchOffError),
        ("RESOURCE_EXHAUSTED", ThrottledError),
        ("DEADLINE_EXCEEDED", UnavailableError),
        ("INTERNAL", UnavailableError),
        ("UNAVAILABLE", UnavailableError),
        ("PROTOCOL", ProtocolError),
        ("NOT_FOUND", ServiceError),
        ("99", ServiceError),
    ],
)
def test_fault_of_one_image_follows_from_its_code(code: str, fault: type[ServiceError]) -> None:
    assert fault_of(Level.IMAGE, 200, code) is fault


@pytest.mark.parametrize("status", [200, 400, 500, 501])
def test_service_without_copy_search_is_known_by_its_code(status: int) -> None:
    assert fault_of(Level.REQUEST, status, "UNIMPLEMENTED") is CopySearchOffError


def test_every_error_of_a_request_is_in_the_table() -> None:
    leaves = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ServiceError)}
    assert leaves - {errors.TransientError} == {row.fault for row in TABLE}


@pytest.mark.parametrize(
    ("error", "code", "billed"),
    [
        (LostReplyError("timed out"), "NO_REPLY", True),
        (ProtocolError("9 results", http_status=200), "PROTOCOL", True),
        (ProtocolError("no content", http_status=204), "HTTP_204", True),
        (LostReplyError("gateway", http_status=504), "HTTP_504", True),
        (LostReplyError("gateway", http_status=504, code="DEADLINE_EXCEEDED"), "DEADLINE_EXCEEDED", True),
        (UnavailableError("down", http_status=503), "HTTP_503", False),
        (ThrottledError("slow down", http_status=429, code="RESOURCE_EXHAUSTED"), "RESOURCE_EXHAUSTED", False),
        (InvalidRequestError("bad", http_status=400), "HTTP_400", False),
    ],
)
def test_error_code_tells_whether_an_image_may_have_been_billed(error: ServiceError, code: str, billed: bool) -> None:
    assert (code_of(error), may_be_billed(code)) == (code, billed)
