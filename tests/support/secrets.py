"""The one API key that tests use, and a watch on the places where it could leak, see ``conftest.py``."""

from __future__ import annotations

import base64
import copy
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from airflow_provider_yandex_vision.vision.errors import YandexVisionError

API_KEY = "AQVN-not-a-real-key-0123456789abcdef"

OPERATOR = ("airflow_provider_yandex_vision.operators.copy_search", "YandexVisionCopySearchOperator")

MAX_FILES, MAX_FILE_BYTES = 200, 1 << 20


def _in_base64(before: int) -> bytes:
    """The key in base64, after so many other bytes."""
    encoded = base64.b64encode(bytes(before) + API_KEY.encode())
    return encoded[-(-before * 4 // 3) : (before + len(API_KEY)) * 4 // 3]


SHAPES = (API_KEY.encode(), *map(_in_base64, range(3)))


def shows_key(text: str | bytes) -> bool:
    """Whether the text contains the key: as it is, in base64 or quoted for a URL."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    plain = unquote_to_bytes(raw)
    return any(shape in raw or shape in plain for shape in SHAPES)


class Watch:
    """Collects in ``leaks`` where the key shows up."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    def look(self, where: str, *texts: str | bytes) -> None:
        if any(map(shows_key, texts)):
            self.leaks.append(where)

    def look_into_files(self, folders: Iterable[Path]) -> None:
        for file in islice(_files(folders), MAX_FILES):
            with file.open("rb") as content:
                self.look(f"file {file.name}", content.read(MAX_FILE_BYTES))

    @contextmanager
    def log_records(self) -> Iterator[None]:
        """Watch every record, even if no handler shows it."""
        make_record = logging.getLogRecordFactory()

        def watched(*args: object, **kwargs: object) -> logging.LogRecord:
            record = make_record(*args, **kwargs)
            shown = logging.Formatter().format(copy.copy(record))
            self.look(f"a record of logger {record.name}", shown, repr(record.args))
            return record

        logging.setLogRecordFactory(watched)
        try:
            yield
        finally:
            logging.setLogRecordFactory(make_record)

    @contextmanager
    def exceptions(self) -> Iterator[None]:
        """Watch what ``pytest.raises`` catches, and every error of the package, caught or not."""
        expect: Any = pytest.raises

        @contextmanager
        def raises(expected: Any = None, /, **kwargs: Any) -> Iterator[Any]:
            __tracebackhide__ = True
            with expect(expected, **kwargs) as caught:
                yield caught
            self.look("an exception", *(text for error in _chain(caught.value) for text in _texts(error)))

        def init(error: BaseException, *args: object) -> None:
            self.look(f"a {type(error).__name__}", *map(str, args))
            Exception.__init__(error, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pytest, "raises", raises)
            patch.setattr(YandexVisionError, "__init__", init)
            yield

    @contextmanager
    def operator(self) -> Iterator[None]:
        """Watch what the operator, if imported, returns to XCom, adds to asset events and renders."""
        module, name = OPERATOR
        operator = getattr(sys.modules.get(module), name, None)
        with pytest.MonkeyPatch.context() as patch:
            for method in ("execute", "render_template_fields") if operator else ():
                patch.setattr(operator, method, self._watched(getattr(operator, method)))
            yield

    def _watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def watched(operator: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                returned = method(operator, context, *args, **kwargs)
                self.look("XCom or an asset event", repr(returned), repr(context))
                return returned
            finally:
                self.look("a template field", repr([getattr(operator, name) for name in operator.template_fields]))

        return watched


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    """The error with its causes and contexts, including those that ``from None`` hides."""
    found: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in found:
            found[id(each)] = each
            waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return found.values()


def _texts(error: BaseException) -> tuple[str, ...]:
    return str(error), repr(error), *getattr(error, "__notes__", ())


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    paths = (Path(folder, name) for top in folders for folder, _, names in os.walk(top) for name in names)
    return (path for path in paths if path.is_file())
