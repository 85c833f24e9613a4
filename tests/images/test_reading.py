"""No more of a file is read than can be searched, and the result names the version that was read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from airflow_provider_yandex_vision.images import reading
from airflow_provider_yandex_vision.images.files import File, find_file
from airflow_provider_yandex_vision.images.reading import read_file
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision import Content
from airflow_provider_yandex_vision.vision.errors import ImageRejectedError, ImageUnreadableError
from tests.images.conftest import BUCKET, ROOT, filesystem, put
from tests.support.pictures import png

MOST = 1000


class OtherStore:
    """A store that is neither local nor S3. Its one file is replaced before every read, until it has no more versions.

    :param etags: of the versions, in the listing and ever after; by default they tell the versions apart.
    """

    protocol = ("memory",)

    def __init__(self, *versions: bytes, has_sizes: bool = True, etags: str = "") -> None:
        self.reads = self.infos = 0
        self.longest = 0
        self._versions = list(versions)
        self._has_sizes = has_sizes
        self._etags = etags
        self._cached: dict[str, Any] | None = None

    def info(self, name: str) -> dict[str, Any]:
        self.infos += 1
        if self._cached is None:
            size = len(self._versions[0])
            etag = self._etags or f"v{size}"
            self._cached = {"name": name, "size": size if self._has_sizes else None, "etag": etag}
        return self._cached

    def cat_file(self, name: str, end: int | None) -> bytes:
        self.reads += 1
        if len(self._versions) > 1:
            del self._versions[0]
        content = self._versions[0][:end]
        self.longest = max(self.longest, len(content))
        return content

    def invalidate_cache(self, path: str) -> None:
        self._cached = None


def read(store: OtherStore) -> bytes:
    return read_file(store, File.of("a", store.info("a")), MOST)


class TestOtherStore:
    def test_unchanged_file_is_read_once_and_not_asked_for(self) -> None:
        store = OtherStore(b"1")
        assert read(store) == b"1"
        assert (store.reads, store.infos) == (1, 1)

    def test_changed_file_is_read_again_with_its_new_etag(self) -> None:
        content = read(OtherStore(b"1", b"22"))
        assert isinstance(content, Content)
        assert (content, content.etag) == (b"22", "v2")

    def test_etag_like_a_digest_that_is_none_is_no_change(self) -> None:
        store = OtherStore(b"1", etags="0" * 32)
        assert read(store) == b"1"
        assert store.reads == 1

    def test_size_that_differs_from_the_listing_is_no_change_if_the_etag_is_the_same(self) -> None:
        assert read(OtherStore(b"packed", b"unpacked", etags="v1")) == b"unpacked"

    def test_file_that_keeps_changing_is_unreadable(self) -> None:
        with pytest.raises(ImageUnreadableError, match="keeps changing"):
            read(OtherStore(*(b"x" * size for size in range(1, 20))))

    def test_without_sizes_is_read_as_it_is(self) -> None:
        assert read(OtherStore(b"1", has_sizes=False)) == b"1"

    def test_file_that_has_grown_is_not_read_to_its_end(self) -> None:
        store = OtherStore(b"1", b"x" * 10 * MOST)
        with pytest.raises(ImageRejectedError, match="more than 1,000 bytes"):
            read(store)
        assert (store.reads, store.longest) == (1, MOST + 1)


class TestLocalFile:
    fs = fsspec.filesystem("file")

    def listed(self, path: Path, content: bytes = b"old") -> File:
        path.write_bytes(content)
        file = find_file(self.fs, str(path))
        assert file
        return file

    def test_that_is_unchanged_has_its_listed_etag(self, tmp_path: Path) -> None:
        content = read_file(self.fs, self.listed(tmp_path / "a"), MOST)
        assert content == b"old"
        assert not isinstance(content, Content)

    def test_rewritten_with_the_same_size_is_noticed(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        listed = self.listed(path)
        path.write_bytes(b"new")
        os.utime(path, (1, 1))
        content = read_file(self.fs, listed, MOST)
        assert isinstance(content, Content)
        assert (content, content.etag) == (b"new", "3-1.0")

    def test_that_has_grown_is_not_read_to_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        listed = self.listed(path)
        os.truncate(path, 4 * 1024**3)
        with pytest.raises(ImageRejectedError, match="more than 1,000 bytes"):
            read_file(self.fs, listed, MOST)

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_that_is_none_is_not_opened(self, make: Any, tmp_path: Path) -> None:
        make(tmp_path / "a.jpg")
        with pytest.raises((ImageUnreadableError, IsADirectoryError), match=r"not a regular file|[dD]irectory"):
            read_file(self.fs, File(str(tmp_path / "a.jpg"), None, None), MOST)

    def test_pipe_in_a_list_costs_only_itself(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.jpg")
        (tmp_path / "a.jpg").touch()
        image, pipe = list_images([f"file://{tmp_path}/a.jpg", f"file://{tmp_path}/pipe.jpg"])
        assert image.read() == b""
        with pytest.raises(ImageUnreadableError, match="not a regular file"):
            pipe.read()


class TestObject:
    def test_is_read_with_one_request(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        put(s3, "a.jpg")
        (image,) = list_images(f"{ROOT}/*.jpg")
        calls: list[str] = []
        fs = filesystem()
        call = fs._call_s3

        async def note(method: str, **arguments: Any) -> Any:
            calls.append(method)
            return await call(method, **arguments)

        monkeypatch.setattr(fs, "_call_s3", note)
        assert image.read() == png("a.jpg")
        assert calls == ["get_object"]

    def test_whose_etag_is_no_digest_is_read_as_it_is(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """As with SSE-KMS: the etag has the shape of an MD5 digest, and is another."""
        put(s3, "a.jpg")
        fs = filesystem()
        call = fs._call_s3

        async def encrypted(method: str, **arguments: Any) -> Any:
            return {**await call(method, **arguments), "ETag": f'"{"0" * 32}"'}

        monkeypatch.setattr(fs, "_call_s3", encrypted)
        content = read_file(fs, File(f"{BUCKET}/a.jpg", 5, "0" * 32), MOST)
        assert content == png("a.jpg")
        assert not isinstance(content, Content)

    def test_that_has_grown_is_not_read_to_its_end(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"x" * (MOST + 5))
        with pytest.raises(ImageRejectedError, match="more than 1,000 bytes"):
            read_file(filesystem(), File(f"{BUCKET}/a.jpg", 5, "v1"), MOST)
        assert read_file(filesystem(), File(f"{BUCKET}/a.jpg", 5, "v1"), MOST + 5) == b"x" * (MOST + 5)

    def test_that_trickles_in_is_given_up(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        put(s3, "a.jpg")
        monkeypatch.setattr(reading, "MAX_SECONDS", 0)
        with pytest.raises(ImageUnreadableError, match="took longer than 0 seconds") as caught:
            read_file(filesystem(), File(f"{BUCKET}/a.jpg", 5, "v1"), MOST)
        assert caught.value.code == "TIMEOUT"
