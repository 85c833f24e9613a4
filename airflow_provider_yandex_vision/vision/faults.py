"""The table of faults: whose fault it is that there is no answer, and so what becomes of the images.

A fault is a class of :mod:`~airflow_provider_yandex_vision.vision.errors`. What a search does about it:

- ``InvalidRequestError``: a request with several images is halved. A single image is ``rejected``, as soon as other
  answers prove that the service does not refuse everything.
- ``AccessError``: ends the search at once, unless the service has answered before. Then it may pass.
- ``ThrottledError``: all requests pause; this uses up no attempt.
- ``UnavailableError``: an outage; another attempt, which surely costs nothing.
- ``LostReplyError`` and ``ProtocolError``: a lost reply, and a lie. Both may have been billed: few more attempts.
- ``ServiceError`` itself: of this image alone; another attempt would say the same.
"""

from __future__ import annotations

import re
from collections.abc import Container
from enum import Enum
from typing import Any, NamedTuple

from airflow_provider_yandex_vision.vision import errors


class Level(Enum):
    """What a fault is about."""

    CONNECTION = "the request was not sent as a whole, so nobody can have answered it"
    REQUEST = "the request as a whole; without a status there was no reply"
    IMAGE = "one image, inside a reply with the status 200"


class Everything(Container[Any]):
    def __contains__(self, value: object) -> bool:
        return True


class Row(NamedTuple):
    """:param statuses: HTTP. :param codes: gRPC names of the service's codes."""

    level: Level
    statuses: Container[int | None]
    codes: Container[str | None]
    fault: type[errors.ServiceError]


ANY = Everything()
BROKEN = "PROTOCOL"
"""Code of an image whose part of the reply breaks the contract, or whose request has a broken reply."""
NO_REPLY = "NO_REPLY"

TABLE = (
    Row(Level.CONNECTION, ANY, ANY, errors.UnavailableError),
    Row(Level.REQUEST, (None,), ANY, errors.LostReplyError),
    Row(Level.REQUEST, (404,), ANY, errors.CopySearchOffError),
    Row(Level.REQUEST, ANY, ("UNIMPLEMENTED",), errors.CopySearchOffError),
    Row(Level.REQUEST, (401,), ANY, errors.AuthenticationError),
    Row(Level.REQUEST, (403,), ANY, errors.PermissionDeniedError),
    Row(Level.REQUEST, range(300, 400), ANY, errors.AccessError),
    Row(Level.REQUEST, (400, 413), ANY, errors.InvalidRequestError),
    Row(Level.REQUEST, (429,), ANY, errors.ThrottledError),
    Row(Level.REQUEST, (504,), ANY, errors.LostReplyError),  # a gateway stopped waiting, the service perhaps did not
    Row(Level.REQUEST, range(100, 200), ANY, errors.LostReplyError),  # the reply itself is not waited for
    Row(Level.REQUEST, range(200, 300), ANY, errors.ProtocolError),  # a success, without what it should contain
    Row(Level.REQUEST, ANY, ANY, errors.UnavailableError),
    Row(Level.IMAGE, ANY, ("INVALID_ARGUMENT",), errors.InvalidRequestError),
    Row(Level.IMAGE, ANY, ("UNAUTHENTICATED",), errors.AuthenticationError),
    Row(Level.IMAGE, ANY, ("PERMISSION_DENIED",), errors.PermissionDeniedError),
    Row(Level.IMAGE, ANY, ("UNIMPLEMENTED",), errors.CopySearchOffError),
    Row(Level.IMAGE, ANY, ("RESOURCE_EXHAUSTED",), errors.ThrottledError),
    Row(Level.IMAGE, ANY, ("DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"), errors.UnavailableError),
    Row(Level.IMAGE, ANY, (BROKEN,), errors.ProtocolError),
    Row(Level.IMAGE, ANY, ANY, errors.ServiceError),
)
"""The first row that fits decides."""


def fault_of(level: Level, status: int | None = None, code: str | None = None) -> type[errors.ServiceError]:
    """
    :param status: HTTP status of the reply; None if there was none.
    :param code: gRPC name of the service's code, if it gave one.
    """
    return next(row.fault for row in TABLE if row.level is level and status in row.statuses and code in row.codes)


def code_of(error: errors.ServiceError) -> str:
    """The error code of an image whose request failed for good."""
    if isinstance(error, errors.ProtocolError) and error.http_status in (None, 200):
        return BROKEN
    return error.code or (f"HTTP_{error.http_status}" if error.http_status else NO_REPLY)


def may_be_billed(code: str) -> bool:
    """Whether an image that ended with this error code may have been billed all the same.

    A deadline that was exceeded may be that of a gateway.
    """
    status = re.fullmatch(r"HTTP_(\d+)", code)
    fault = fault_of(Level.REQUEST, int(status[1])) if status else fault_of(Level.IMAGE, 200, code)
    return code in (NO_REPLY, "DEADLINE_EXCEEDED") or fault.may_be_billed
