from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_yandex_vision.images.output import Output
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, OutputError
from tests.images.conftest import BUCKET, ROOT

WEEK = timedelta(days=7)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "copies.html").write_text("<!doctype html>Кот")
    return tmp_path / "copies.html"


def test_directory_is_made_and_files_are_replaced(tmp_path: Path, page: Path) -> None:
    for content in ("first", "second"):
        page.write_text(content)
        address = Output(f"file://{tmp_path}/reports/#1 ?*/").put(page)
    assert address == f"file://{tmp_path}/reports/#1 ?*/copies.html"
    assert (tmp_path / "reports" / "#1 ?*" / "copies.html").read_text() == "second"


def test_path_is_a_url_too(tmp_path: Path, page: Path) -> None:
    assert Output(f"{tmp_path}/reports").put(page) == f"file://{tmp_path}/reports/copies.html"


@pytest.mark.parametrize("url", ["", "reports/", "C:\\reports"])
def test_other_text_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="output must be the URL of a directory, such as"):
        Output(url)


def test_web_is_no_storage() -> None:
    with pytest.raises(ConfigurationError, match="output cannot be written: nothing can be stored at https"):
        Output("https://example.com/reports/copies")


def test_file_in_the_way_is_named(tmp_path: Path, page: Path) -> None:
    (tmp_path / "reports").write_text("not a directory")
    with pytest.raises(ConfigurationError, match=r"output cannot be written: file://.*/reports/day/copies\.html: "):
        Output(f"file://{tmp_path}/reports/day").put(page)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_missing_permission_is_named(tmp_path: Path, page: Path) -> None:
    (tmp_path / "reports").mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match=r"output cannot be written: .*PermissionError"):
        Output(f"file://{tmp_path}/reports").put(page)


def test_failure_of_the_storage_may_pass(tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise TimeoutError("no reply")

    to = Output(f"file://{tmp_path}/reports")
    monkeypatch.setattr(to._location.fs, "put_file", fail)
    with pytest.raises(OutputError, match=r"output cannot be written: .*: TimeoutError: no reply"):
        to.put(page)


def test_link_to_a_file_is_its_address(tmp_path: Path) -> None:
    to = Output(f"file://{tmp_path}/reports")
    assert to.link("copies.html", None, WEEK) == f"file://{tmp_path}/reports/copies.html"


def test_link_below_a_base_url_is_quoted() -> None:
    to = Output("file:///reports/Ёлка & co/")
    assert to.link("copies.html", "https://intranet.example/files/", WEEK) == (
        "https://intranet.example/files/reports/%D0%81%D0%BB%D0%BA%D0%B0%20%26%20co/copies.html"
    )


def test_s3_object_is_a_page_that_opens_by_a_signed_link(s3: Any, page: Path) -> None:
    to = Output(f"{ROOT}/reports/2026/")
    assert to.put(page) == f"s3://{BUCKET}/reports/2026/copies.html"
    link = to.link("copies.html", None, WEEK)
    assert "Signature" in link
    reply = requests.get(link, timeout=10)
    assert reply.content.decode() == "<!doctype html>Кот"
    assert reply.headers["Content-Type"].startswith("text/html")


def test_path_below_a_base_url_begins_in_the_bucket(s3: Any) -> None:
    to = Output(f"{ROOT}/reports/2026/")
    assert to.link("copies.html", "https://cdn.example", WEEK) == "https://cdn.example/reports/2026/copies.html"


def test_bucket_that_does_not_exist_is_not_made(s3: Any, page: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"output cannot be written: s3://elsewhere/reports/copies\.html"):
        Output("s3://storage@elsewhere/reports/").put(page)
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]
