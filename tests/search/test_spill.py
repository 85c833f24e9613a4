from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from airflow_provider_yandex_vision.search.spill import SpillDict


def test_text_is_found_by_its_key() -> None:
    with closing(SpillDict()) as texts:
        texts["a"] = "Кот 🐈"
        texts["a'; DROP TABLE entry; --"] = ""
        assert texts.get("a") == "Кот 🐈"
        assert texts.get("a'; DROP TABLE entry; --") == ""
        assert texts.get("b") is None


def test_keys_that_are_not_valid_text_are_distinguished() -> None:
    with closing(SpillDict()) as texts:
        assert all(texts.add(key) for key in ("\udc80", "\udc81", "\ufffd", "\0", "\0\0", ""))
        texts["\udc80"] = "first"
        assert [texts.get(key) for key in ("\udc80", "\udc81", "\udc82")] == ["first", "", None]


def test_last_text_wins() -> None:
    with closing(SpillDict()) as texts:
        texts["a"] = "first"
        texts["a"] = "last"
        assert texts.get("a") == "last"


def test_key_is_new_only_once() -> None:
    with closing(SpillDict()) as keys:
        assert [keys.add(key) for key in ("a", "b", "a")] == [True, True, False]


def test_adding_a_key_keeps_its_text() -> None:
    with closing(SpillDict()) as texts:
        texts["a"] = "text"
        assert not texts.add("a")
        assert texts.get("a") == "text"


def test_two_dictionaries_are_independent() -> None:
    with closing(SpillDict()) as one, closing(SpillDict()) as other:
        one["a"] = "text"
        assert other.get("a") is None


def test_another_thread_may_use_it() -> None:
    with closing(SpillDict()) as texts:
        thread = threading.Thread(target=texts.__setitem__, args=("a", "text"))
        thread.start()
        thread.join()
        assert texts.get("a") == "text"


def test_content_is_on_disk_without_a_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    process = psutil.Process()
    with closing(SpillDict()) as texts:
        before = process.memory_info().rss
        for number in range(4000):
            texts[str(number)] = f"{number:<10000}"
        assert process.memory_info().rss - before < 20_000_000
        assert texts.get("3999") == f"{3999:<10000}"
        assert list(tmp_path.iterdir()) == []
