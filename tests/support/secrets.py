"""The secrets that tests use, and a watch on the places where they could leak, see ``conftest.py``."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_yandex_vision.vision.errors import YandexVisionError

API_KEY = "AQVN-not-a-real-key-0123456789abcdef"
IAM_TOKEN = "t1.not-a-real-token-0123456789abcdef"
"""Every IAM token starts with it."""

KEY_ID = "aje-key"
ACCOUNT = "aje-account"
PREAMBLE = "PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <aje-key>\n"

OPERATOR = ("airflow_provider_yandex_vision.operators.copy_search", "YandexVisionCopySearchOperator")

MAX_FILES, MAX_FILE_BYTES = 200, 1 << 20


@cache
def private_key() -> rsa.RSAPrivateKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    SHAPES.extend(line.encode() for line in to_pem(key).splitlines() if len(line) == 64)
    return key


def to_pem(key: Any) -> str:
    encryption = serialization.NoEncryption()
    return str(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode("ascii")
    )


def authorized_key(**changes: object) -> str:
    """An authorized key as the vendor's CLI writes it.

    :param changes: other values of fields.
    """
    fields = {
        "id": KEY_ID,
        "service_account_id": ACCOUNT,
        "created_at": "2026-01-01T12:00:00.123456789Z",
        "key_algorithm": "RSA_2048",
        "private_key": PREAMBLE + to_pem(private_key()),
    }
    return json.dumps({**fields, **changes}, indent=3)


def _in_base64(secret: str, before: int) -> bytes:
    """The secret in base64, after so many other bytes."""
    encoded = base64.b64encode(bytes(before) + secret.encode())
    return encoded[-(-before * 4 // 3) : (before + len(secret)) * 4 // 3]


SHAPES = [
    shape
    for secret in (API_KEY, IAM_TOKEN)
    for shape in (secret.encode(), *(_in_base64(secret, before) for before in range(3)))
]


def shows_secret(text: str | bytes) -> bool:
    """Whether the text contains the API key, an IAM token, a line of the private key or a JWT signed with it.

    As they are, quoted for a URL, or in base64.
    """
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    plain = unquote_to_bytes(raw)
    return any(shape in raw or shape in plain for shape in SHAPES) or _shows_jwt(raw)


def _shows_jwt(raw: bytes) -> bool:
    heads = re.findall(rb"(eyJ[\w-]+)\.eyJ[\w-]+\.[\w-]+", raw)
    return any(b"PS256" in base64.urlsafe_b64decode(head[: len(head) // 4 * 4]) for head in heads)


class Watch:
    """Collects in ``leaks`` where a secret shows up."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    def look(self, where: str, *texts: str | bytes) -> None:
        if any(map(shows_secret, texts)):
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
