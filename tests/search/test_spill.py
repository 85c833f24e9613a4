from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from airflow_provider_yandex_vision.search.spill import SpillDict


def test_text_is_found_again_by_its_key() -> None:
    with SpillDict() as texts:
        texts["a"] = "Кот 🐈"
        texts["a'; DROP TABLE entry; --"] = ""
        assert texts.get("a") == "Кот 🐈"
        assert texts.get("a'; DROP TABLE entry; --") == ""
        assert texts.get("b") is None


def test_keys_that_are_no_text_are_told_apart() -> None:
    with SpillDict() as texts:
        assert all(texts.add(key) for key in ("\udc80", "\udc81", "\ufffd", "\0", "\0\0", ""))
        texts["\udc80"] = "first"
        assert [texts.get(key) for key in ("\udc80", "\udc81", "\udc82")] == ["first", "", None]


def test_the_last_text_stays() -> None:
    with SpillDict() as texts:
        texts["a"] = "first"
        texts["a"] = "last"
        assert texts.get("a") == "last"


def test_a_key_is_new_once() -> None:
    with SpillDict() as keys:
        assert [keys.add(key) for key in ("a", "b", "a")] == [True, True, False]


def test_noting_a_key_leaves_its_text() -> None:
    with SpillDict() as texts:
        texts["a"] = "text"
        assert not texts.add("a")
        assert texts.get("a") == "text"


def test_two_know_nothing_of_each_other() -> None:
    with SpillDict() as one, SpillDict() as other:
        one["a"] = "text"
        assert other.get("a") is None


def test_it_may_be_handed_to_another_thread() -> None:
    with SpillDict() as texts:
        thread = threading.Thread(target=texts.__setitem__, args=("a", "text"))
        thread.start()
        thread.join()
        assert texts.get("a") == "text"


def test_what_it_holds_is_on_disk_under_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    process = psutil.Process()
    with SpillDict() as texts:
        before = process.memory_info().rss
        for number in range(4000):
            texts[str(number)] = f"{number:<10000}"
        assert process.memory_info().rss - before < 20_000_000
        assert texts.get("3999") == f"{3999:<10000}"
        assert list(tmp_path.iterdir()) == []
