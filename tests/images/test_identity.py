"""A URL names what it says and nothing else, and a URI names one image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ImageUnreadableError
from tests.images.conftest import BUCKET, ROOT, prepare, put
from tests.support.pictures import png


def keys(images: Any) -> list[str]:
    return sorted(image.uri.removeprefix(f"s3://{BUCKET}/") for image in list_images(images))


class TestVersionInAKey:
    KEYS = ("v/a.jpg", "v/a.jpg?versionId=1", "v/b.jpg?versionId=")

    @pytest.mark.parametrize("images", [f"{ROOT}/v/**", {ROOT: KEYS}, [f"{ROOT}/{key}" for key in KEYS]])
    def test_is_part_of_the_key(self, s3: Any, images: Any) -> None:
        put(s3, *self.KEYS)
        read = {image.uri: image.read() for image in list_images(images)}
        assert read == {f"s3://{BUCKET}/{key}": png(key) for key in self.KEYS}

    @pytest.mark.parametrize("key", KEYS)
    def test_of_a_single_url_is_too(self, s3: Any, key: str) -> None:
        put(s3, *self.KEYS)
        (image,) = list_images(f"{ROOT}/{key}")
        assert (image.uri, image.read()) == (f"s3://{BUCKET}/{key}", png(key))


class TestDirectory:
    KEYS = ("x.jpg", "x.jpg/1.jpg", "x.jpg/deep/2.jpg", "x.jpg-3.jpg")

    @pytest.mark.parametrize("wrap", [lambda url: url, lambda url: [url, f"{ROOT}/x.jpg-3.jpg"]])
    def test_beside_an_object_of_its_name_needs_a_slash(self, s3: Any, wrap: Any) -> None:
        put(s3, *self.KEYS)
        assert set(keys(wrap(f"{ROOT}/x.jpg"))) - {"x.jpg-3.jpg"} == {"x.jpg"}
        assert set(keys(wrap(f"{ROOT}/x.jpg/"))) - {"x.jpg-3.jpg"} == {"x.jpg/1.jpg", "x.jpg/deep/2.jpg"}

    def test_in_a_list_needs_no_slash(self, s3: Any) -> None:
        put(s3, "d/1.jpg", "d/deep/2.jpg", "d/notes.txt", "e/3.jpg", "f.jpg")
        expected = ["d/1.jpg", "d/deep/2.jpg", "e/3.jpg", "f.jpg"]
        assert keys([f"{ROOT}/d", f"{ROOT}/f.jpg", f"{ROOT}/e"]) == expected
        assert keys([f"{ROOT}/f.jpg", f"s3://storage@{BUCKET}"]) == expected

    def test_on_a_disk_needs_none_either(self, tmp_path: Path) -> None:
        for name in ("d/1.jpg", "d/deep/2.jpg", "d/notes.txt", "f.jpg"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        uris = [image.uri for image in list_images([f"file://{tmp_path}/d", f"file://{tmp_path}/f.jpg"])]
        assert uris == [f"file://{tmp_path}/{name}" for name in ("d/1.jpg", "d/deep/2.jpg", "f.jpg")]

    def test_without_images_in_a_list_costs_only_itself(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "f.jpg").write_bytes(png("f"))
        empty, image = list_images([f"file://{tmp_path}/empty", f"file://{tmp_path}/f.jpg"])
        assert prepare(image).etag
        with pytest.raises(ImageUnreadableError, match=r"[dD]irectory"):
            prepare(empty)


class TestNothing:
    """What a template that renders to nothing leaves must not stand for everything."""

    @pytest.mark.parametrize("url", ["file://", "file:///", "file://c@", "s3://", "s3://storage@", "s3:///", "//", "/"])
    @pytest.mark.parametrize("in_list", [False, True])
    def test_is_no_url(self, url: str, in_list: bool) -> None:
        with pytest.raises(ConfigurationError, match=r"names nothing: is a template in it empty\?"):
            list_images([url, "file:///a.jpg"] if in_list else url)

    @pytest.mark.parametrize("images", ["", " \n", [""], ["file:///a.jpg", " "], {"s3://bucket/": ""}, "['']"])
    def test_is_no_element(self, images: Any) -> None:
        with pytest.raises(ConfigurationError, match="a template that renders to nothing"):
            list_images(images)

    @pytest.mark.parametrize("path", ["a.jpg", "data/", "./a.jpg", "~/a.jpg", "*.jpg", "localhost/a.jpg"])
    def test_before_a_path_does_not_stand_for_the_working_directory(
        self, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a.jpg").touch()
        with pytest.raises(ConfigurationError, match="is not absolute: write file:///"):
            list_images(f"file://{path}")


class TestTwoStores:
    @pytest.fixture
    def other(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another connection, ``other``, with other credentials."""
        put(s3, "a.jpg", "b.jpg")
        connection = json.loads(os.environ["AIRFLOW_CONN_STORAGE"])
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({**connection, "login": "another"}))

    @pytest.mark.usefixtures("other")
    @pytest.mark.parametrize("rest", ["a.jpg", "", "*"])
    def test_with_the_same_bucket_are_refused(self, rest: str) -> None:
        urls = [f"{ROOT}/{rest}", f"s3://other@{BUCKET}/{rest}"]
        with pytest.raises(ConfigurationError) as caught:
            list_images(urls)
        assert all(url in str(caught.value) for url in urls)
        assert "through different connections" in str(caught.value)

    @pytest.mark.usefixtures("other")
    def test_with_different_buckets_are_fine(self, tmp_path: Path) -> None:
        (tmp_path / "c.jpg").touch()
        urls = [f"{ROOT}/a.jpg", "s3://other@elsewhere/a.jpg", f"file://x@{tmp_path}/c.jpg", f"file://{tmp_path}/"]
        assert len(list(list_images(urls))) == 3
