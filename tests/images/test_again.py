from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.images import again, storage
from airflow_provider_yandex_vision.images.again import StoredPictures
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ImageRejectedError
from tests.images.conftest import BUCKET, put
from tests.support.pictures import png


def test_file_is_read_by_the_uri_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "a #1 ?*.jpg").write_bytes(b"content")
    assert StoredPictures().open(f"file://{tmp_path}/a #1 ?*.jpg", None)() == b"content"


def test_s3_object_is_read_by_the_connection_in_the_table(s3: Any) -> None:
    put(s3, "catalog/a b#1.jpg")
    assert StoredPictures().open(f"s3://{BUCKET}/catalog/a b#1.jpg", "storage")() == png("catalog/a b#1.jpg")


def test_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "MAX_BYTES", 10)
    (tmp_path / "a.jpg").write_bytes(b"x" * 11)
    with pytest.raises(ImageRejectedError, match="more than 10 bytes"):
        StoredPictures().open(f"file://{tmp_path}/a.jpg", None)()


def test_missing_connection_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look_up(scheme: str, conn_id: str) -> None:
        asked.append(conn_id)
        raise ConfigurationError(f"connection {conn_id!r} does not exist")

    monkeypatch.setattr(storage, "_connection", look_up)
    pictures = StoredPictures()
    for number in range(3):
        with pytest.raises(ConfigurationError, match="connection 'gone' does not exist"):
            pictures.open(f"s3://bucket/{number}.jpg", "gone")
    assert asked == ["gone"]


def test_file_that_is_gone_fails_when_it_is_read(tmp_path: Path) -> None:
    read = StoredPictures().open(f"file://{tmp_path}/gone.jpg", None)
    with pytest.raises(FileNotFoundError):
        read()
