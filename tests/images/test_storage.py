"""Against a real S3 server (moto's), through Airflow's connection and ObjectStoragePath."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from moto.backends import get_backend

from airflow_provider_yandex_vision.images import list_images
from airflow_provider_yandex_vision.vision import ConfigurationError, ImageUnreadableError, Limits
from airflow_provider_yandex_vision.search.prepare import prepare_image
from airflow_provider_yandex_vision.vision.errors import NoImagesError
from tests.support.hostile import FORGERY, forges, told
from tests.images.conftest import BUCKET
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


def put(s3: Any, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=png(key) if not key.endswith("/") else b"")


def uris(images: Any, conn_id: str | None = None) -> list[str]:
    return sorted(image.uri for image in list_images(images, conn_id))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_every_key_is_listed_named_and_read_as_it_is(s3: Any, key: str) -> None:
    put(s3, f"odd/{key}", "odd/other.jpg")
    (image,) = list_images(f"s3://storage@{BUCKET}/odd/{key}")
    assert image.uri == f"s3://{BUCKET}/odd/{key}"
    assert image.read() == png(f"odd/{key}")


def test_a_directory_gives_the_files_whose_ending_says_jpeg_or_png_in_any_case(s3: Any) -> None:
    put(s3, *(f"odd/{key}" for key in ODD_KEYS), "odd/notes.txt", "odd/deep/er.PNG", "odd/deep/")
    expected = {f"s3://{BUCKET}/odd/{key}" for key in ODD_KEYS if key != "trailing#"} | {
        f"s3://{BUCKET}/odd/deep/er.PNG"
    }
    assert set(uris(f"s3://storage@{BUCKET}/odd/")) == expected
    assert set(uris(f"s3://storage@{BUCKET}/odd")) == expected


def test_what_is_named_explicitly_is_taken_whatever_its_ending(s3: Any) -> None:
    put(s3, "odd/notes.txt", "odd/a.jpg")
    assert uris(f"s3://storage@{BUCKET}/odd/notes.txt") == [f"s3://{BUCKET}/odd/notes.txt"]
    assert uris(f"s3://storage@{BUCKET}/odd/*") == [f"s3://{BUCKET}/odd/a.jpg", f"s3://{BUCKET}/odd/notes.txt"]


def test_globs_stop_at_a_slash_and_double_stars_do_not(s3: Any) -> None:
    put(s3, "c/a.jpg", "c/b.png", "c/deep/er/c.jpg")
    assert uris(f"s3://storage@{BUCKET}/c/*.jpg") == [f"s3://{BUCKET}/c/a.jpg"]
    assert uris(f"s3://storage@{BUCKET}/c/**/*.jpg") == [f"s3://{BUCKET}/c/a.jpg", f"s3://{BUCKET}/c/deep/er/c.jpg"]


def test_directory_markers_are_no_images_and_empty_objects_are(s3: Any) -> None:
    put(s3, "m/", "m/sub/", "m/a.jpg")
    s3.put_object(Bucket=BUCKET, Key="m/empty.jpg", Body=b"")
    assert uris(f"s3://storage@{BUCKET}/m/") == [f"s3://{BUCKET}/m/a.jpg", f"s3://{BUCKET}/m/empty.jpg"]
    assert uris(f"s3://storage@{BUCKET}/m/**") == [f"s3://{BUCKET}/m/a.jpg", f"s3://{BUCKET}/m/empty.jpg"]


def test_the_identity_holds_no_connection_and_the_version_is_the_store_s_etag(s3: Any) -> None:
    put(s3, "a.jpg")
    etag = s3.head_object(Bucket=BUCKET, Key="a.jpg")["ETag"].strip('"')
    (in_url,) = list_images(f"s3://storage@{BUCKET}/a.jpg")
    (by_argument,) = list_images(f"s3://{BUCKET}/a.jpg", "storage")
    assert in_url.uri == by_argument.uri == f"s3://{BUCKET}/a.jpg"
    assert in_url.etag == by_argument.etag == etag
    assert in_url.size == len(png("a.jpg"))


def test_two_listings_in_one_process_see_new_objects(s3: Any) -> None:
    put(s3, "n/a.jpg")
    assert len(uris(f"s3://storage@{BUCKET}/n/")) == 1
    put(s3, "n/b.jpg")
    assert len(uris(f"s3://storage@{BUCKET}/n/")) == 2
    assert len(uris(f"s3://storage@{BUCKET}/n/*.jpg")) == 2


def test_an_object_deleted_after_the_listing_is_an_unreadable_image(s3: Any) -> None:
    put(s3, "d/a.jpg", "d/b.jpg")
    gone, kept = list_images(f"s3://storage@{BUCKET}/d/")
    s3.delete_object(Bucket=BUCKET, Key="d/a.jpg")
    with pytest.raises(ImageUnreadableError, match="gone"):
        prepare_image(gone, Limits())
    assert prepare_image(kept, Limits()).size == len(png("d/b.jpg"))


def test_an_object_replaced_after_the_listing_is_recorded_under_the_version_that_was_read(s3: Any) -> None:
    put(s3, "r/a.jpg")
    (image,) = list_images(f"s3://storage@{BUCKET}/r/")
    s3.put_object(Bucket=BUCKET, Key="r/a.jpg", Body=png("another"))
    checked = prepare_image(image, Limits())
    assert checked.etag == s3.head_object(Bucket=BUCKET, Key="r/a.jpg")["ETag"].strip('"') != image.etag


def test_lists_take_objects_patterns_and_directories_and_each_image_once(s3: Any) -> None:
    put(s3, "l/a.jpg", "l/b.jpg", "l/c.txt")
    root = f"s3://storage@{BUCKET}/l"
    assert uris([f"{root}/*.jpg", [f"{root}/a.jpg", f"{root}/c.txt"], f"{root}/"]) == [
        f"s3://{BUCKET}/l/a.jpg",
        f"s3://{BUCKET}/l/b.jpg",
        f"s3://{BUCKET}/l/c.txt",
    ]


def test_one_missing_object_of_a_list_costs_only_itself(s3: Any) -> None:
    put(s3, "l/a.jpg")
    root = f"s3://storage@{BUCKET}/l"
    present, missing = list_images([f"{root}/a.jpg", f"{root}/typo.jpg"])
    assert prepare_image(present, Limits()).etag
    with pytest.raises(ImageUnreadableError, match="gone"):
        prepare_image(missing, Limits())


@pytest.mark.parametrize("nothing", ["empty/", "typo.jpg", "typo/*.jpg", "**/*.webp"])
def test_a_url_without_pictures_fails_and_names_it(s3: Any, nothing: str) -> None:
    put(s3, "empty/notes.txt")
    with pytest.raises(NoImagesError, match="has no pictures") as caught:
        list_images(f"s3://storage@{BUCKET}/{nothing}")
    assert nothing in str(caught.value)


def test_a_name_that_forges_logs_is_told_in_one_line(s3: Any) -> None:
    with pytest.raises(NoImagesError, match="has no pictures") as caught:
        list_images(f"s3://storage@{BUCKET}/{FORGERY}")
    assert not any(map(forges, told(caught.value)))


def test_a_bucket_that_does_not_exist_fails_and_names_it(s3: Any) -> None:
    with pytest.raises(ConfigurationError, match="no-such-bucket"):
        list_images("s3://storage@no-such-bucket/pictures/")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("url", [f"s3://typo@{BUCKET}/a.jpg", f"s3://typo@{BUCKET}/*.jpg", f"s3://typo@{BUCKET}/"])
def test_a_connection_that_does_not_exist_fails_and_names_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="'typo'"):
        list_images(url)


@pytest.mark.parametrize(
    ("scheme", "hint"), [("abfs", "not installed"), ("gs", r"airflow-provider-yandex-vision\[google\]")]
)
def test_a_backend_that_is_missing_names_the_extra(scheme: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        list_images(f"{scheme}://bucket/a.jpg")


def test_twenty_thousand_keys_are_one_listing_without_a_look_at_each(s3: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = get_backend("s3")["123456789012"]["aws"]
    for number in range(20_000):
        store.put_object(BUCKET, f"many/{number:05}.jpg", b"x")
    caplog.set_level(logging.INFO)
    assert sum(1 for _ in list_images(f"s3://storage@{BUCKET}/many/")) == 20_000
    asked = [record for record in caplog.records if record.name == "werkzeug"]
    store.buckets[BUCKET].keys.clear()
    pages_of_1000 = 20
    assert pages_of_1000 <= len(asked) <= pages_of_1000 + 2
