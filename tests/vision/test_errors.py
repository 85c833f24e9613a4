from __future__ import annotations

import inspect
import re

import pytest

from airflow_provider_yandex_vision.vision import errors
from airflow_provider_yandex_vision.vision.errors import (
    GRPC_CODES,
    ConfigurationError,
    ServiceError,
    ThrottledError,
    YandexVisionError,
)


def drawn_tree() -> dict[str, str | None]:
    """Parent of each class, read from the drawing in the module's docstring."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([ │├└─]*)(\w+Error)\b", line):
            column, name = len(found[1]), found[2]
            path = [(at, parent) for at, parent in path if at < column]
            parents[name] = path[-1][1] if path else None
            path.append((column, name))
    return parents


def real_tree() -> dict[str, str | None]:
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, YandexVisionError)]
    return {cls.__name__: None if cls is YandexVisionError else cls.__bases__[0].__name__ for cls in classes}


def test_the_tree_is_the_one_that_is_drawn() -> None:
    assert drawn_tree() == real_tree()


def test_a_wrong_argument_is_a_value_error_too() -> None:
    assert issubclass(ConfigurationError, ValueError)


def test_codes_have_the_names_of_the_standard() -> None:
    from google.rpc import code_pb2

    assert {name: number for number, name in GRPC_CODES.items()} == dict(code_pb2.Code.items()[1:])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ServiceError("no route"), "no route"),
        (
            ThrottledError("slow down", http_status=429, code="RESOURCE_EXHAUSTED", request_id="r", trace_id="t"),
            "slow down (HTTP 429, RESOURCE_EXHAUSTED, request id r, trace id t)",
        ),
        (ServiceError("no", uris=["a", "b", "c"]), "no (images a, b, c)"),
        (ServiceError("no", uris=["a", "b", "c", "d", "e"]), "no (images a, b, c and 2 more)"),
    ],
)
def test_an_error_of_the_service_says_all_that_is_known(error: ServiceError, text: str) -> None:
    assert str(error) == text
