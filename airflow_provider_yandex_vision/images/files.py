"""Names, sizes and versions of the files below a prefix, in the order of their names.

S3 is asked page by page: a bucket of millions of keys takes the memory of one page. Of other stores fsspec
knows no pages, so their listing is held in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fsspec.utils import glob_translate


class File(NamedTuple):
    """One entry of a listing.

    :param name: as fsspec takes it, without protocol.
    :param etag: version of the content; size and time of change where the store has none of its own.
    """

    name: str
    size: int | None
    etag: str | None

    @classmethod
    def of(cls, name: str, info: Mapping[str, Any]) -> File:
        size = None if info.get("size") is None else int(info["size"])
        return cls(name, size, _etag(info))


def files_below(fs: Any, path: str) -> Iterator[File]:
    """All files of a directory, however deep, or the one file of that name."""
    if not _is_s3(fs):
        yield from _all_at_once(fs, fs.find(path, detail=True))
        return
    nothing = True
    for file in _pages(fs, f"{path}/"):
        nothing = False
        yield file
    if nothing and _is_file(info := fs.info(path)):
        yield File.of(path, info)


def files_like(fs: Any, pattern: str) -> Iterator[File]:
    """All files that match a pattern, in which only ``*`` and ``**`` mean more than themselves."""
    glob = re.sub(r"[?\[]", r"[\g<0>]", pattern)
    prefix, _, rest = pattern.partition("*")
    if not _is_s3(fs) or "/" not in prefix:
        yield from _all_at_once(fs, fs.glob(glob, detail=True))
        return
    matches = re.compile(glob_translate(glob)).match
    for file in _pages(fs, prefix, delimiter="" if "/" in rest or "**" in pattern else "/"):
        if matches(file.name):
            yield file


def _all_at_once(fs: Any, found: dict[str, Any]) -> Iterator[File]:
    files = sorted(File.of(name, info) for name, info in found.items() if _is_file(info))
    # What the backend says besides, and remembers, is many times as large: it must not stay for the whole run.
    found.clear()
    fs.invalidate_cache()
    yield from files


def _pages(fs: Any, prefix: str, *, delimiter: str = "") -> Iterator[File]:
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


def _is_s3(fs: Any) -> bool:
    return "s3" in fs.protocol


def _is_file(info: Mapping[str, Any]) -> bool:
    """False for directories, and for the empty markers that stand for them in object stores."""
    return info.get("type") == "file" and not (info.get("size") == 0 and str(info["name"]).endswith("/"))


def _etag(info: Mapping[str, Any]) -> str | None:
    etag = next((info[key] for key in ("ETag", "etag", "md5Hash") if info.get(key)), None)
    if etag:
        return str(etag).strip('"')
    changed = next((info[key] for key in ("mtime", "LastModified", "last_modified", "created") if info.get(key)), None)
    return f"{info['size']}-{changed}" if changed is not None else None
