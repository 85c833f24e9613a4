"""Files of a storage: listed in the order of their names.

S3 is listed page by page, so a bucket of millions of keys takes the memory of one page. Other stores are listed whole
before the first file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fsspec.spec import AbstractFileSystem
from fsspec.utils import glob_translate

from airflow_provider_yandex_vision.images import s3


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


def find_file(fs: Any, path: str) -> File | None:
    """The file of that name; None if there is none, or a directory."""
    try:
        info = s3.info(fs, path) if s3.is_s3(fs) else fs.info(path)
    except FileNotFoundError:
        return None
    return File.of(path, info) if info and info["type"] == "file" else None


def files_below(fs: Any, path: str) -> Iterator[File]:
    """All files of a directory and its subdirectories.

    :raises PermissionError: one of them may not be read.
    """
    if s3.is_s3(fs):
        yield from _files(s3.list_objects(fs, f"{path}/"))
    elif _has_folders(fs):
        yield from list(_walk(fs, path, lambda folder: True))
    else:
        yield from _list_whole(fs, fs.find(path, detail=True))


def files_matching(fs: Any, pattern: str) -> Iterator[File]:
    """All files that match a glob, in which only ``*`` and ``**`` are wildcards.

    :raises PermissionError: a directory that may have such files may not be read.
    :raises ValueError: ``**`` is not a whole part between slashes.
    """
    glob = re.sub(r"[?\[]", r"[\g<0>]", pattern)
    matches = re.compile(glob_translate(glob)).match
    prefix, _, rest = pattern.partition("*")
    if s3.is_s3(fs) and "/" in prefix:
        delimiter = "" if "/" in rest or "**" in pattern else "/"
        files: Iterable[File] = _files(s3.list_objects(fs, prefix, delimiter))
    elif _has_folders(fs):
        files = list(_walk(fs, prefix.rpartition("/")[0] or "/", _may_hold(glob)))
    else:
        files = _list_whole(fs, fs.glob(glob, detail=True))
    yield from (file for file in files if matches(file.name))


def _has_folders(fs: Any) -> bool:
    """Whether fsspec lists it folder by folder. It then passes over those that may not be read."""
    return type(fs).find is AbstractFileSystem.find and not fs.async_impl


def _may_hold(glob: str) -> Callable[[str], bool]:
    """Whether a folder may hold files that match, at any depth."""
    parts = glob.split("/")
    fixed = parts.index("**") if "**" in parts else len(parts)
    deepest = min(fixed, len(parts) - 1)
    matches = [re.compile(glob_translate("/".join(parts[:depth]))).match for depth in range(deepest + 1)]

    def may_hold(folder: str) -> bool:
        depth = folder.count("/") + 1
        if depth > fixed:
            folder, depth = "/".join(folder.split("/")[:fixed]), fixed
        return depth < len(parts) and matches[depth](folder) is not None

    return may_hold


def _walk(fs: Any, top: str, enters: Callable[[str], bool]) -> Iterator[File]:
    """Files of folders, in the order of their paths. Links to files count, links to folders could go in circles."""
    waiting: list[Mapping[str, Any]] = [{"name": top, "type": "directory"}]
    while waiting:
        info = waiting.pop()
        name = info["name"]
        try:
            if info.get("islink"):
                info = fs.info(name)
            elif info["type"] == "directory" and (name == top or enters(name)):
                waiting += sorted(fs.ls(name, detail=True), key=_path, reverse=True)
        except FileNotFoundError:  # it vanished, or the link leads nowhere
            if name == top:
                raise
            continue
        if info["type"] == "file":
            yield File.of(name, info)


def _path(info: Mapping[str, Any]) -> str:
    return f"{info['name']}/" if info["type"] == "directory" else str(info["name"])


def _list_whole(fs: Any, found: dict[str, Any]) -> list[File]:
    files = sorted(File.of(name, info) for name, info in found.items() if _is_file(info))
    # What the backend returns and caches is many times larger, and must not stay for the whole run.
    found.clear()
    fs.invalidate_cache()
    return files


def _files(infos: Iterable[Mapping[str, Any]]) -> Iterator[File]:
    return (File.of(info["name"], info) for info in infos if _is_file(info))


def _is_file(info: Mapping[str, Any]) -> bool:
    """False for directories, and for the empty objects that mark directories in object stores."""
    return info.get("type") == "file" and not (info.get("size") == 0 and str(info["name"]).endswith("/"))
