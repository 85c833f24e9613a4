"""Against a real S3 server (moto's), through an Airflow connection."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.images import storage
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ImageUnreadableError
from tests.images.conftest import BUCKET, ROOT, delete_all, deny, filesystem, prepare, put, put_many
from tests.support.hostile import FORGERY, forges, texts_of
from tests.support.pictures import png

ODD_KEYS = [
    "a#b.jpg",
    "question?mark.jpg",
    "per%20cent.jpg",
    "with space.jpg",
    "plus+and&.jpg",
    "котик.jpg",
    "🐈.png",
    "UPPER.JPG",
    "brackets[1].jpeg",
    "trailing#",
]


def keys(images: Any, conn_id: str | None = None) -> list[str]:
    return sorted(image.uri.removeprefix(f"s3://{BUCKET}/") for image in list_images(images, conn_id))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_listed_and_read_as_it_is(s3: Any, key: str) -> None:
    put(s3, f"odd/{key}", "odd/other.jpg")
    (image,) = list_images(f"{ROOT}/odd/{key}")
    assert image.uri == f"s3://{BUCKET}/odd/{key}"
    assert image.read() == png(f"odd/{key}")


def test_directory_means_its_jpeg_and_png_files_in_any_case(s3: Any) -> None:
    put(s3, *(f"odd/{key}" for key in ODD_KEYS), "odd/notes.txt", "odd/deep/er.PNG", "odd/deep/")
    expected = sorted([*(f"odd/{key}" for key in ODD_KEYS if key != "trailing#"), "odd/deep/er.PNG"])
    assert keys(f"{ROOT}/odd/") == keys(f"{ROOT}/odd") == expected


def test_named_and_matched_objects_need_no_image_ending(s3: Any) -> None:
    put(s3, "odd/notes.txt", "odd/a.jpg")
    assert keys(f"{ROOT}/odd/notes.txt") == ["odd/notes.txt"]
    assert keys(f"{ROOT}/odd/*") == ["odd/a.jpg", "odd/notes.txt"]


def test_star_stops_at_a_slash_and_double_star_does_not(s3: Any) -> None:
    put(s3, "c/a.jpg", "c/b.png", "c/deep/er/c.jpg")
    assert keys(f"{ROOT}/c/*.jpg") == ["c/a.jpg"]
    assert keys(f"{ROOT}/c/**/*.jpg") == ["c/a.jpg", "c/deep/er/c.jpg"]


def test_empty_objects_are_images_but_directory_markers_are_not(s3: Any) -> None:
    put(s3, "m/", "m/sub/", "m/a.jpg")
    s3.put_object(Bucket=BUCKET, Key="m/empty.jpg", Body=b"")
    assert keys(f"{ROOT}/m/") == keys(f"{ROOT}/m/**") == ["m/a.jpg", "m/empty.jpg"]


def test_uri_has_no_connection_and_the_etag_is_the_store_s(s3: Any) -> None:
    put(s3, "a.jpg")
    etag = s3.head_object(Bucket=BUCKET, Key="a.jpg")["ETag"].strip('"')
    (in_url,) = list_images(f"{ROOT}/a.jpg")
    (by_argument,) = list_images(f"s3://{BUCKET}/a.jpg", "storage")
    assert in_url.uri == by_argument.uri == f"s3://{BUCKET}/a.jpg"
    assert in_url.etag == by_argument.etag == etag
    assert in_url.size == len(png("a.jpg"))


def test_second_listing_in_one_process_sees_new_objects(s3: Any) -> None:
    put(s3, "n/a.jpg")
    assert len(keys(f"{ROOT}/n/")) == 1
    put(s3, "n/b.jpg")
    assert len(keys(f"{ROOT}/n/")) == len(keys(f"{ROOT}/n/*.jpg")) == 2


def test_listing_ignores_what_the_process_has_cached(s3: Any) -> None:
    put(s3, "n/a.jpg")
    filesystem().ls(f"{BUCKET}/n")
    s3.put_object(Bucket=BUCKET, Key="n/a.jpg", Body=b"new")
    (image,) = list_images(f"{ROOT}/n/a.jpg")
    assert image.size == 3


def test_object_deleted_after_listing_is_unreadable(s3: Any) -> None:
    put(s3, "d/a.jpg", "d/b.jpg")
    gone, kept = list_images(f"{ROOT}/d/")
    s3.delete_object(Bucket=BUCKET, Key="d/a.jpg")
    with pytest.raises(ImageUnreadableError, match="gone"):
        prepare(gone)
    assert prepare(kept).size == len(png("d/b.jpg"))


def test_replaced_object_gets_the_etag_that_was_read(s3: Any) -> None:
    put(s3, "r/a.jpg")
    (image,) = list_images(f"{ROOT}/r/")
    s3.put_object(Bucket=BUCKET, Key="r/a.jpg", Body=png("another"))
    assert prepare(image).etag == s3.head_object(Bucket=BUCKET, Key="r/a.jpg")["ETag"].strip('"') != image.etag


def test_nested_lists_mix_urls_of_all_kinds_without_repeats(s3: Any) -> None:
    put(s3, "l/a.jpg", "l/b.jpg", "l/c.txt")
    urls = [f"{ROOT}/l/*.jpg", [f"{ROOT}/l/a.jpg", f"{ROOT}/l/c.txt"], f"{ROOT}/l/"]
    assert keys(urls) == keys(str(urls)) == ["l/a.jpg", "l/b.jpg", "l/c.txt"]


def test_object_storage_paths_are_urls_too(tmp_path: Path) -> None:
    if importlib.util.find_spec("airflow.sdk"):
        path_class = importlib.import_module("airflow.sdk").ObjectStoragePath
    else:
        path_class = importlib.import_module("airflow.io.path").ObjectStoragePath
    (tmp_path / "a.jpg").touch()
    path = path_class(f"file://{tmp_path}/a.jpg")
    assert [image.uri for image in list_images([path])] == [f"file://{tmp_path}/a.jpg"]


def test_missing_object_of_a_list_costs_only_itself(s3: Any) -> None:
    put(s3, "l/a.jpg")
    present, missing = list_images([f"{ROOT}/l/a.jpg", f"{ROOT}/l/typo.jpg"])
    assert prepare(present).etag
    with pytest.raises(ImageUnreadableError, match="does not exist"):
        prepare(missing)


@pytest.mark.parametrize("nothing", ["empty/", "typo.jpg", "typo/*.jpg", "**/*.webp"])
def test_url_without_images_is_an_error_that_names_it(s3: Any, nothing: str) -> None:
    put(s3, "empty/notes.txt")
    with pytest.raises(ConfigurationError, match="no images at") as caught:
        list_images(f"{ROOT}/{nothing}")
    assert nothing in str(caught.value)


def test_key_that_forges_log_lines_is_quoted_on_one_line(s3: Any) -> None:
    with pytest.raises(ConfigurationError, match="no images at") as caught:
        list_images(f"{ROOT}/{FORGERY}")
    assert not any(map(forges, texts_of(caught.value)))


def test_missing_bucket_is_an_error_that_names_it(s3: Any) -> None:
    with pytest.raises(ConfigurationError, match="no-such-bucket"):
        list_images("s3://storage@no-such-bucket/pictures/")


def test_denied_object_is_a_configuration_error(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, "a.jpg")
    deny(filesystem(), "a.jpg", monkeypatch)
    with pytest.raises(ConfigurationError, match=f"permission denied to read {ROOT}/a.jpg: Forbidden"):
        list_images(f"{ROOT}/a.jpg")


def test_directory_may_be_listed_though_its_name_may_not_be_looked_up(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, "d/a.jpg")
    deny(filesystem(), "d", monkeypatch)
    assert keys(f"{ROOT}/d") == ["d/a.jpg"]


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("url", [f"s3://typo@{BUCKET}/a.jpg", f"s3://typo@{BUCKET}/*.jpg", f"s3://typo@{BUCKET}/"])
def test_missing_connection_is_an_error_that_names_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="connection 'typo' does not exist"):
        list_images(url)


@pytest.mark.parametrize(
    ("scheme", "extra"),
    [("gs", "google"), ("gcs", "google"), ("az", "azure"), ("abfs", "azure"), ("abfss", "azure"), ("adl", "azure")],
)
def test_missing_backend_is_an_error_that_names_the_extra(scheme: str, extra: str) -> None:
    hint = f"the backend for {scheme}:// URLs is not installed: pip install 'airflow-provider-yandex-vision[{extra}]'"
    with pytest.raises(ConfigurationError) as caught:
        list_images(f"{scheme}://bucket/a.jpg")
    assert str(caught.value) == hint


@pytest.mark.usefixtures("s3")
def test_missing_library_of_a_backend_is_named_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "find_spec", lambda name: None)
    monkeypatch.setattr(storage, "attach", broken_store(ImportError("Airflow FS S3 protocol requires s3fs")))
    with pytest.raises(ConfigurationError, match=r"s3:// URLs is not installed: .*\[amazon\]"):
        list_images(f"{ROOT}/a.jpg")


def broken_store(error: Exception) -> Any:
    class Store:
        @property
        def fs(self) -> Any:
            raise error

    return lambda protocol, conn_id: Store()


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("error", [ImportError("cannot import name 'x' from 'botocore'"), ValueError("no such signer")])
def test_installed_backend_that_fails_tells_its_own_reason(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "attach", broken_store(error))
    with pytest.raises(ConfigurationError) as caught:
        list_images(f"{ROOT}/a.jpg")
    assert str(caught.value) == f"cannot open s3:// URLs: {type(error).__name__}: {error}"


def test_scheme_that_no_provider_opens_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"^no installed Airflow provider opens gopher:// URLs$"):
        list_images("gopher://bucket/a.jpg")


def test_listing_needs_no_request_per_object(s3: Any, caplog: pytest.LogCaptureFixture) -> None:
    put_many(20_000)
    caplog.set_level(logging.INFO)
    assert sum(1 for _ in list_images(f"{ROOT}/many/")) == 20_000
    requests = [record for record in caplog.records if record.name == "werkzeug"]
    delete_all()
    pages_of_1000 = 20
    assert pages_of_1000 <= len(requests) <= pages_of_1000 + 2
