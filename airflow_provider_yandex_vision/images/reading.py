"""Read a listed file: never more of it than can be searched, and only the version that the result names."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from typing import Any

from airflow_provider_yandex_vision.images import s3
from airflow_provider_yandex_vision.images.files import File
from airflow_provider_yandex_vision.images.limits import check_size
from airflow_provider_yandex_vision.vision.errors import ImageUnreadableError
from airflow_provider_yandex_vision.vision.models import Content

MAX_READS = 3
MAX_SECONDS = 300
"""Of one image, however slowly it trickles in."""


def read_file(fs: Any, file: File, max_bytes: int) -> bytes:
    """The content; with its etag, as :class:`Content`, if the file has changed since it was listed.

    :raises ImageRejectedError: it is larger than ``max_bytes``; what is over them is not read.
    :raises ImageUnreadableError: it keeps changing, takes too long, or is not a regular file.
    """
    if "file" in fs.protocol:
        content, etag = _read_local(file, max_bytes)
    elif s3.is_s3(fs):
        content, etag = _read_s3(fs, file, max_bytes)
    else:
        content, etag = _read_other(fs, file, max_bytes)
    if etag == file.etag:
        return content
    changed = Content(content)
    changed.etag = etag
    return changed


def _read_local(file: File, max_bytes: int) -> tuple[bytes, str | None]:
    for _ in range(MAX_READS):
        with open(file.name, "rb", opener=_open_at_once) as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise ImageUnreadableError("not a regular file", "NOT_A_FILE")
            check_size(before.st_size, max_bytes)
            content = stream.read(before.st_size + 1)
            after = os.fstat(stream.fileno())
        if (before.st_size, before.st_mtime) == (after.st_size, after.st_mtime):
            return content, File.of(file.name, {"size": after.st_size, "mtime": after.st_mtime}).etag
    raise _changing()


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for the other end, should it be a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read_s3(fs: Any, file: File, max_bytes: int) -> tuple[bytes, str | None]:
    try:
        content, etag = s3.read(fs, file.name, max_bytes, MAX_SECONDS)
    except asyncio.TimeoutError as error:
        raise ImageUnreadableError(f"reading took longer than {MAX_SECONDS} seconds", "TIMEOUT") from error
    return content, etag or file.etag


def _read_other(fs: Any, file: File, max_bytes: int) -> tuple[bytes, str | None]:
    """Only if size or digest differ is the store asked for the version: they can differ in an unchanged file."""
    for _ in range(MAX_READS):
        content: bytes = fs.cat_file(file.name, end=max_bytes + 1 if file.size else None)
        check_size(len(content), max_bytes)
        if file.size in (None, len(content)) and _may_be_digest_of(content, file.etag):
            return content, file.etag
        fs.invalidate_cache(file.name)
        fresh = File.of(file.name, fs.info(file.name))
        if fresh.etag == file.etag:
            return content, file.etag
        file = fresh
    raise _changing()


def _may_be_digest_of(content: bytes, etag: str | None) -> bool:
    is_digest = re.fullmatch("[0-9a-f]{32}", etag or "")
    return not is_digest or hashlib.md5(content, usedforsecurity=False).hexdigest() == etag


def _changing() -> ImageUnreadableError:
    return ImageUnreadableError("the file keeps changing while it is read", "CHANGING")
