"""Whatever characters a file's name has, its URI names this file and no other."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.images.urls import list_images
from tests.support.texts import FILE_NAMES, text_with


def is_file_name(name: str) -> bool:
    """Any but those with ``*``, which makes a URL a glob."""
    try:
        return os.fsdecode(os.fsencode(name)) == name and not set(name) & set("/\0*") and name not in {"", ".", ".."}
    except UnicodeEncodeError:
        return False


STEMS = text_with([*"#?% +&~@:;,=[]{}!^\\'\"\n.котик🐈", "%41"]) | FILE_NAMES
NAMES = st.builds(str.__add__, STEMS, st.sampled_from(["", ".jpg", ".PNG"])).filter(is_file_name)


def read(images: object) -> list[tuple[str, bytes]]:
    return sorted((image.uri, image.read()) for image in list_images(images))


@given(st.sets(NAMES, max_size=8))
def test_every_file_is_listed_once_under_a_uri_that_opens_it(names: set[str]) -> None:
    with TemporaryDirectory() as folder:
        files = sorted((f"file://{folder}/{name}", os.fsencode(name)) for name in {"a.jpg", *names})
        for uri, content in files:
            Path(uri.removeprefix("file://")).write_bytes(content)
        uris = [uri for uri, _ in files]
        pattern = f"file://connection@{folder}/*"
        assert read(pattern) == read(str(uris)) == read([uris, pattern]) == files
        assert read(f"file://{folder}") == [file for file in files if file[0].lower().endswith((".jpg", ".png"))]
        assert [read(uri) for uri in uris] == [[file] for file in files]
