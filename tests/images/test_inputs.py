"""Images as other tasks deliver them: keys, long lists, names with wildcards in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import BaseHook
from airflow_provider_yandex_vision.images.ignored import Ignored
from airflow_provider_yandex_vision.images.location import Location
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ImageUnreadableError
from tests.images.conftest import BUCKET, ROOT, deny, filesystem, prepare, put
from tests.support.pictures import png

KEYS = ["l/a.jpg", "l/b#c?.jpg", "l/notes.txt"]


def keys(images: Any, conn_id: str | None = None) -> list[str]:
    return sorted(image.uri.removeprefix(f"s3://{BUCKET}/") for image in list_images(images, conn_id))


@pytest.fixture
def bucket_of_connection(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ``with_bucket`` names a bucket, where Airflow's S3Hook looks for one."""
    connection = json.loads(os.environ["AIRFLOW_CONN_STORAGE"])
    connection["extra"]["service_config"] = {"s3": {"bucket_name": BUCKET}}
    monkeypatch.setenv("AIRFLOW_CONN_WITH_BUCKET", json.dumps(connection))


class TestKeys:
    @pytest.mark.parametrize("base", [ROOT, f"{ROOT}/"])
    @pytest.mark.parametrize("as_text", [False, True])
    def test_mapping_puts_keys_into_a_bucket(self, s3: Any, base: str, as_text: bool) -> None:
        put(s3, *KEYS)
        assert keys({base: str(KEYS) if as_text else KEYS}) == KEYS

    def test_mapping_takes_the_connection_of_the_argument(self, s3: Any) -> None:
        put(s3, *KEYS)
        assert keys({f"s3://{BUCKET}/": KEYS}, "storage") == KEYS
        assert keys([{f"s3://{BUCKET}/": KEYS[:1]}, f"{ROOT}/{KEYS[1]}"], "storage") == KEYS[:2]

    def test_key_may_begin_with_a_slash(self, s3: Any) -> None:
        put(s3, "/l/a.jpg", "l/b.jpg")
        assert keys({ROOT: ["/l/a.jpg", "l/b.jpg"]}) == ["/l/a.jpg", "l/b.jpg"]

    @pytest.mark.usefixtures("bucket_of_connection")
    def test_keys_alone_are_in_the_bucket_of_the_connection(self, s3: Any) -> None:
        put(s3, *KEYS)
        assert keys(KEYS, "with_bucket") == keys(str(KEYS), "with_bucket") == KEYS
        assert keys("l/", "with_bucket") == keys("l/*.jpg", "with_bucket") == KEYS[:2]
        assert next(list_images("l/a.jpg", "with_bucket")).read() == png("l/a.jpg")

    @pytest.mark.usefixtures("bucket_of_connection")
    def test_absolute_paths_stay_local(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").touch()
        assert [image.uri for image in list_images([f"{tmp_path}/a.jpg"], "with_bucket")] == [
            f"file://{tmp_path}/a.jpg"
        ]

    @pytest.mark.parametrize("conn_id", [None, "storage"])
    @pytest.mark.parametrize("images", ["l/a.jpg", ["l/a.jpg"], "l/", "l/*"])
    def test_key_without_a_bucket_is_an_error_that_says_what_to_do(
        self, s3: Any, images: Any, conn_id: str | None
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"'l/.* is not a URL; .*s3://bucket/.*service_config.s3.bucket"):
            list_images(images, conn_id)

    @pytest.mark.parametrize("extra", ["{}", '{"service_config": "x"}', '{"service_config": {"s3": 1}}'])
    def test_connection_without_a_bucket_is_no_crash(self, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps({"conn_type": "aws", "extra": extra}))
        with pytest.raises(ConfigurationError, match="is not a URL"):
            list_images("l/a.jpg", "odd")

    def test_keys_that_mark_directories_are_ignored(self, s3: Any) -> None:
        put(s3, "l/", "l/a.jpg", "l/b.jpg", "empty/")
        ignored = Ignored()
        images = list_images({ROOT: ["l/", "l/a.jpg", "empty/"]}, ignored=ignored)
        assert [image.uri for image in images] == [f"s3://{BUCKET}/l/a.jpg"]
        assert ignored.count == 2

    @pytest.mark.parametrize("odd", [[], ["l/b.jpg"]])
    def test_key_is_never_a_directory(self, s3: Any, odd: list[str]) -> None:
        put(s3, "l/a.jpg", "l/b.jpg")
        if not odd:
            with pytest.raises(ConfigurationError, match="no images at"):
                list_images({ROOT: ["l"]})
            return
        missing, _ = list_images({ROOT: ["l", *odd]})
        with pytest.raises(ImageUnreadableError, match="does not exist"):
            prepare(missing)

    def test_mapping_of_something_else_is_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match=r"images maps URLs .* not 'bucket'"):
            list_images({"bucket": "pictures", "keys": ["l/a.jpg"]})


class TestStars:
    """Literally named images are never lost to a pattern, nor a pattern's to a literal name."""

    ODD = ("p/a*.jpg", "p/ab.jpg")

    def test_star_in_a_list_is_a_wildcard(self, s3: Any) -> None:
        put(s3, *self.ODD)
        assert keys([f"{ROOT}/p/a*.jpg"]) == keys([f"{ROOT}/p/a*.jpg", f"{ROOT}/p/ab.jpg"]) == [*self.ODD]

    def test_star_in_a_key_of_a_mapping_is_not(self, s3: Any) -> None:
        put(s3, *self.ODD)
        assert keys({ROOT: "p/a*.jpg"}) == keys({ROOT: ["p/a*.jpg"]}) == ["p/a*.jpg"]
        assert prepare(next(list_images({ROOT: ["p/a*.jpg"]}))).size == len(png("p/a*.jpg"))


class TestLongLists:
    @pytest.mark.usefixtures("s3")
    def test_connection_is_looked_up_once_for_all_urls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looked_up: Counter[str] = Counter()
        get_connection = BaseHook.get_connection

        def count(_hook: type[BaseHook], conn_id: str) -> Any:
            looked_up[conn_id] += 1
            return get_connection(conn_id)

        monkeypatch.setattr(BaseHook, "get_connection", classmethod(count))
        list_images([f"{ROOT}/{number}.jpg" for number in range(5_000)])
        assert looked_up["storage"] <= 2  # ours, and perhaps Airflow's own

    def test_order_of_a_list_is_kept(self, tmp_path: Path) -> None:
        urls = [f"file://{tmp_path}/{number * 7 % 600}.jpg" for number in range(600)]
        assert [image.uri for image in list_images(urls)] == urls

    def test_denied_lookup_costs_only_its_image(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        put(s3, "l/a.jpg", "l/b.jpg")
        deny(filesystem(), "l/b.jpg", monkeypatch)
        present, denied = list_images([f"{ROOT}/l/a.jpg", f"{ROOT}/l/b.jpg"])
        assert prepare(present).etag
        with pytest.raises(ImageUnreadableError, match="PermissionError: Forbidden"):
            prepare(denied)

    def test_unforeseen_error_of_a_lookup_ends_the_stream(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Location, "look_up", None)
        with pytest.raises(TypeError):
            list(list_images([f"file://{tmp_path}/a.jpg", f"file://{tmp_path}/b.jpg"]))

    def test_hanging_lookup_does_not_keep_the_process_alive(self, tmp_path: Path) -> None:
        program = (
            "import threading, fsspec.implementations.local as local\n"
            "from airflow_provider_yandex_vision.images.urls import list_images\n"
            "looking = threading.Event()\n"
            "def hang(*args, **options):\n"
            "    looking.set()\n"
            "    threading.Event().wait()\n"
            "local.LocalFileSystem.info = hang\n"
            "images = list_images(['file:///a.jpg', 'file:///b.jpg'])\n"
            "threading.Thread(target=next, args=(images,), daemon=True).start()\n"
            "looking.wait()\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=tmp_path)
