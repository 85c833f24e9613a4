"""Files of a storage: listed in the order of their names, and read.

S3 is listed page by page, so a bucket of millions of keys takes the memory of one page. fsspec returns the listings
of other stores whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fsspec.utils import glob_translate

from airflow_provider_yandex_vision.vision.errors import ImageUnreadableError
from airflow_provider_yandex_vision.vision.models import Content

MAX_READS = 3


class File(NamedTuple):
    """One entry of a listing.

    :param name: as fsspec takes it, without protocol.
    :param etag: version of the content; size and modification time if the store has no etags.
    """

    name: str
    size: int | None
    etag: str | None

    @classmethod
    def of(cls, name: str, info: Mapping[str, Any]) -> File:
        """:param info: as fsspec returns it."""
        size = None if info.get("size") is None else int(info["size"])
        etag = next((info[key] for key in ("ETag", "etag", "md5Hash") if info.get(key)), None)
        if etag:
            return cls(name, size, str(etag).strip('"'))
        times = ("mtime", "LastModified", "last_modified", "created")
        changed = next((info[key] for key in times if info.get(key)), None)
        return cls(name, size, None if changed is None else f"{size}-{changed}")


def files_below(fs: Any, path: str) -> Iterator[File]:
    """All files of a directory and its subdirectories, or the one file of that name."""
    if "s3" not in fs.protocol:
        yield from _list_whole(fs, fs.find(path, detail=True))
        return
    found = None
    for found in _list_s3(fs, f"{path}/"):
        yield found
    if found is None and _is_file(info := fs.info(path)):
        yield File.of(path, info)


def files_matching(fs: Any, pattern: str) -> Iterator[File]:
    """All files that match a glob, in which only ``*`` and ``**`` are wildcards."""
    glob = re.sub(r"[?\[]", r"[\g<0>]", pattern)
    prefix, _, rest = pattern.partition("*")
    if "s3" not in fs.protocol or "/" not in prefix:
        yield from _list_whole(fs, fs.glob(glob, detail=True))
        return
    matches = re.compile(glob_translate(glob)).match
    delimiter = "" if "/" in rest or "**" in pattern else "/"
    yield from (file for file in _list_s3(fs, prefix, delimiter) if matches(file.name))


def read_file(fs: Any, file: File) -> bytes:
    """The content; with its etag, as :class:`Content`, if the file has changed since it was listed.

    :raises ImageUnreadableError: the file keeps changing.
    """
    content: bytes = fs.cat_file(file.name)
    for _ in range(MAX_READS):
        if _is_version(content, fs, file):
            return content
        fs.invalidate_cache(file.name)
        file = File.of(file.name, fs.info(file.name))
        content = Content(fs.cat_file(file.name))
        content.etag = file.etag
    raise ImageUnreadableError("the file keeps changing while it is read", "CHANGING")


def _is_version(content: bytes, fs: Any, file: File) -> bool:
    """Whether the bytes are those of the listed version.

    A remote store is not asked again: their size shows it, and the etag if it is an MD5 digest, as it usually is on S3.
    """
    if file.size not in (None, len(content)):
        return False
    if "file" in fs.protocol:
        return File.of(file.name, fs.info(file.name)).etag == file.etag
    has_digest = re.fullmatch("[0-9a-f]{32}", file.etag or "")
    return not has_digest or hashlib.md5(content, usedforsecurity=False).hexdigest() == file.etag


def _list_whole(fs: Any, found: dict[str, Any]) -> Iterator[File]:
    files = sorted(File.of(name, info) for name, info in found.items() if _is_file(info))
    # What the backend returns and caches is many times larger, and must not stay for the whole run.
    found.clear()
    fs.invalidate_cache()
    yield from files


def _list_s3(fs: Any, prefix: str, delimiter: str = "") -> Iterator[File]:
    bucket, _, key = prefix.partition("/")
    request = {"Bucket": bucket, "Prefix": key, "Delimiter": delimiter}
    while True:
        page = fs.call_s3("list_objects_v2", **request)
        for entry in page.get("Contents", ()):
            info = {**entry, "name": entry["Key"], "type": "file", "size": entry["Size"]}
            if _is_file(info):
                yield File.of(f"{bucket}/{entry['Key']}", info)
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _is_file(info: Mapping[str, Any]) -> bool:
    """False for directories, and for the empty objects that mark directories in object stores."""
    return info.get("type") == "file" and not (info.get("size") == 0 and str(info["name"]).endswith("/"))
