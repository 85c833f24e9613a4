from __future__ import annotations

import logging
import resource
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from airflow_provider_yandex_vision.search.spill import SpillDict


def test_value_is_found_by_its_key() -> None:
    with closing(SpillDict()) as values:
        values["a"] = "Кот 🐈".encode()
        values["a'; DROP TABLE entry; --"] = b""
        assert values.get("a") == "Кот 🐈".encode()
        assert values.get("a'; DROP TABLE entry; --") == b""
        assert values.get("b") is None


def test_keys_that_are_not_valid_text_are_distinguished() -> None:
    with closing(SpillDict()) as values:
        assert all(values.add(key) for key in ("\udc80", "\udc81", "\ufffd", "\0", "\0\0", ""))
        values["\udc80"] = b"first"
        assert [values.get(key) for key in ("\udc80", "\udc81", "\udc82")] == [b"first", b"", None]


def test_last_value_wins() -> None:
    with closing(SpillDict()) as values:
        values["a"] = b"first"
        values["a"] = b"last"
        assert values.get("a") == b"last"


def test_key_is_new_only_once() -> None:
    with closing(SpillDict()) as keys:
        assert [keys.add(key) for key in ("a", "b", "a")] == [True, True, False]


def test_adding_a_key_keeps_its_value() -> None:
    with closing(SpillDict()) as values:
        values["a"] = b"text"
        assert not values.add("a")
        assert values.get("a") == b"text"


def test_two_dictionaries_are_independent() -> None:
    with closing(SpillDict()) as one, closing(SpillDict()) as other:
        one["a"] = b"text"
        assert other.get("a") is None


def test_another_thread_may_use_it() -> None:
    with closing(SpillDict()) as values:
        thread = threading.Thread(target=values.__setitem__, args=("a", b"text"))
        thread.start()
        thread.join()
        assert values.get("a") == b"text"


def test_content_is_on_disk_without_a_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    process = psutil.Process()
    with closing(SpillDict()) as values:
        before = process.memory_info().rss
        for number in range(4000):
            values[str(number)] = f"{number:<10000}".encode()
        assert process.memory_info().rss - before < 20_000_000
        assert values.get("3999") == f"{3999:<10000}".encode()
        assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows over 1 MB, as if the disk was full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_costs_the_cache_only(caplog: pytest.LogCaptureFixture) -> None:
    with closing(SpillDict()) as values, full_disk():
        assert values.add("first")
        for number in range(2000):
            values[str(number)] = bytes(10_000)
        assert values.get("1999") is None
        assert [values.add("new"), values.add("first")] == [True, True]
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(messages) == 1
    assert "Remembering no more on disk (" in messages[0]
