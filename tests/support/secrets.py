"""The one API key that tests use, and a watch over the places where it could show up, see ``conftest.py``."""

from __future__ import annotations

import base64
import copy
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
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
    """What the key looks like in base64 after so many bytes of something else."""
    encoded = base64.b64encode(bytes(before) + API_KEY.encode())
    return encoded[-(-before * 4 // 3) : (before + len(API_KEY)) * 4 // 3]


SHAPES = (API_KEY.encode(), *map(_in_base64, range(3)))


def shows_key(text: str | bytes) -> bool:
    """Whether the key is in the text: as it is, in base64 or quoted for a URL."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    plain = unquote_to_bytes(raw)
    return any(shape in raw or shape in plain for shape in SHAPES)


class Watch:
    """Notes in ``leaks`` where the key shows up."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    def look(self, where: str, *texts: str | bytes) -> None:
        if any(map(shows_key, texts)):
            self.leaks.append(where)

    def log(self, patch: pytest.MonkeyPatch) -> None:
        """Every record that is made, whether a handler shows it or not."""
        make_record = logging.getLogRecordFactory()

        def watched(*args: object, **kwargs: object) -> logging.LogRecord:
            record = make_record(*args, **kwargs)
            shown = logging.Formatter().format(copy.copy(record))
            self.look(f"a record of logger {record.name}", shown, repr(record.args))
            return record

        patch.setattr(logging, "_logRecordFactory", watched)

    def exceptions(self, patch: pytest.MonkeyPatch) -> None:
        """What ``pytest.raises`` catches, and every error of the package, caught or not."""
        leave: Any = pytest.RaisesExc.__exit__

        def leave_watched(raises: object, kind: object, error: BaseException | None, trace: object) -> bool:
            __tracebackhide__ = True
            self.look("an exception", *(text for each in _chain(error) for text in _texts(each)))
            return bool(leave(raises, kind, error, trace))

        def make_watched(error: BaseException, *args: object) -> None:
            self.look(f"a {type(error).__name__}", *map(str, args))
            Exception.__init__(error, *args)

        patch.setattr(pytest.RaisesExc, "__exit__", leave_watched)
        patch.setattr(YandexVisionError, "__init__", make_watched)

    def operator(self, patch: pytest.MonkeyPatch) -> None:
        """What the operator returns to XCom, adds to asset events and makes of its templates, where it is loaded."""
        module, name = OPERATOR
        operator = getattr(sys.modules.get(module), name, None)
        for method in ("execute", "render_template_fields") if operator else ():
            patch.setattr(operator, method, self._watched(getattr(operator, method)))

    def files(self, folders: Iterable[Path]) -> None:
        for file in islice(_files(folders), MAX_FILES):
            with file.open("rb") as content:
                self.look(f"file {file.name}", content.read(MAX_FILE_BYTES))

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
    """The error and all it came of, also what ``from None`` hides."""
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
