from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from airflow_provider_yandex_vision.vision import errors
from airflow_provider_yandex_vision.vision.errors import (
    GRPC_CODES,
    ConfigurationError,
    ImageRejectedError,
    ImageUnreadableError,
    ServiceError,
    ThrottledError,
    YandexVisionError,
    printable,
)
from tests.support.hostile import FORGERY, LINES, MARKERS, TERMINAL, forges


def drawn_tree() -> dict[str, str | None]:
    """Parent of each class in the drawing of the module's docstring."""
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


def test_drawn_tree_is_the_real_one() -> None:
    assert drawn_tree() == real_tree()


def test_configuration_error_is_a_value_error() -> None:
    assert issubclass(ConfigurationError, ValueError)


def test_codes_have_their_standard_names() -> None:
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
def test_service_error_shows_every_known_fact(error: ServiceError, text: str) -> None:
    assert str(error) == text


class TestPrintable:
    @pytest.mark.parametrize("letter", [*LINES, *TERMINAL, "\n", "\0", "\ud800"])
    def test_escapes_control_characters_and_lone_surrogates(self, letter: str) -> None:
        assert printable(f"a{letter}b") == (f"a{letter}b" if letter.isprintable() else f"a{ascii(letter)[1:-1]}b")
        assert not forges(printable(letter))

    @pytest.mark.parametrize("marker", MARKERS)
    def test_defuses_markers_that_fold_log_lines(self, marker: str) -> None:
        for text in (marker, f"a{marker}b", marker * 2, f" INFO - {marker}"):
            assert not forges(printable(text))

    @pytest.mark.parametrize("text", ["", "снимок 🐈.jpg", "s3://b/a b::group", "C:\\new", "100 % {0}"])
    def test_leaves_other_text_alone(self, text: str) -> None:
        assert printable(text) == text

    def test_is_idempotent(self) -> None:
        assert printable(printable(FORGERY)) == printable(FORGERY)


HOSTILE_ERRORS: list[YandexVisionError] = [
    ConfigurationError(FORGERY),
    ImageRejectedError(FORGERY, "BROKEN_IMAGE"),
    ImageUnreadableError(FORGERY),
    ServiceError(FORGERY),
    ThrottledError("busy", http_status=429, code=FORGERY, request_id=FORGERY, trace_id=FORGERY, uris=[FORGERY]),
]


@pytest.mark.parametrize("error", HOSTILE_ERRORS, ids=lambda error: type(error).__name__)
class TestUntrustedText:
    def test_is_one_printable_line(self, error: YandexVisionError) -> None:
        assert not forges(str(error)), str(error)
        assert repr(error).isprintable()

    def test_is_kept_unchanged_in_message(self, error: YandexVisionError) -> None:
        assert error.message in (FORGERY, "busy")

    def test_survives_pickle_and_copy(self, error: YandexVisionError) -> None:
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


def test_error_without_a_message_has_no_text() -> None:
    assert str(YandexVisionError()) == ""
