"""Objects in S3, by their keys as they are: s3fs takes ``?versionId=`` in a key for something else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from fsspec.asyn import sync

from airflow_provider_yandex_vision.images.limits import check_size

MAX_ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = 0.5


def is_s3(fs: Any) -> bool:
    return "s3" in fs.protocol


def info(fs: Any, path: str) -> Mapping[str, Any] | None:
    """What fsspec calls the info of an object; None for a bucket.

    :raises FileNotFoundError: there is no such object, whether or not there is a directory of that name.
    """
    bucket, _, key = path.partition("/")
    if not key:
        return None
    head = fs.call_s3("head_object", Bucket=bucket, Key=key)
    return {**head, "name": path, "type": "file", "size": head["ContentLength"]}


def list_objects(fs: Any, prefix: str, delimiter: str = "") -> Iterator[Mapping[str, Any]]:
    """Infos of the objects whose keys start with a prefix, in the order of their keys, page by page."""
    bucket, _, key = prefix.partition("/")
    request = {"Bucket": bucket, "Prefix": key, "Delimiter": delimiter}
    while True:
        page = fs.call_s3("list_objects_v2", **request)
        for entry in page.get("Contents", ()):
            yield {**entry, "name": f"{bucket}/{entry['Key']}", "type": "file", "size": entry["Size"]}
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def read(fs: Any, path: str, max_bytes: int, seconds: float) -> tuple[bytes, str | None]:
    """The content of an object, and the etag of what was read.

    :raises ImageRejectedError: it is larger than ``max_bytes``.
    :raises asyncio.TimeoutError: it took longer.
    """
    read: tuple[bytes, str | None] = sync(fs.loop, _read_in_time, fs, path, max_bytes, seconds)
    return read


async def _read_in_time(fs: Any, path: str, max_bytes: int, seconds: float) -> tuple[bytes, str | None]:
    return await asyncio.wait_for(_read(fs, path, max_bytes), seconds)


async def _read(fs: Any, path: str, max_bytes: int) -> tuple[bytes, str | None]:
    from s3fs.core import S3_RETRYABLE_ERRORS  # type: ignore[import-untyped]  # s3fs has no types

    for attempt in range(1, MAX_ATTEMPTS):
        try:
            return await _read_once(fs, path, max_bytes)
        except S3_RETRYABLE_ERRORS:
            await asyncio.sleep(SECONDS_BETWEEN_ATTEMPTS * attempt)
    return await _read_once(fs, path, max_bytes)


async def _read_once(fs: Any, path: str, max_bytes: int) -> tuple[bytes, str | None]:
    bucket, _, key = path.partition("/")
    reply = await fs._call_s3("get_object", Bucket=bucket, Key=key)
    body = reply["Body"]
    pieces: list[bytes] = []
    size = 0
    try:
        check_size(reply.get("ContentLength", 0), max_bytes)
        while piece := await body.read(max_bytes + 1 - size):
            pieces.append(piece)
            size += len(piece)
            check_size(size, max_bytes)
    finally:
        body.close()
    return b"".join(pieces), reply.get("ETag", "").strip('"') or None
