"""Requests and replies of ``batchAnalyze`` as JSON: the only module that knows their shape.

The messages are ``BatchAnalyzeRequest`` and ``BatchAnalyzeResponse`` of the vendor's ``vision_service.proto`` and
``image_copy_search.proto`` (in ``yandex/cloud/ai/vision/v1``), printed as protobuf's JSON. Whatever bytes a reply
consists of, reading it gives either results or an error of the package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pybase64

from airflow_provider_yandex_vision.vision.errors import GRPC_CODES, ProtocolError
from airflow_provider_yandex_vision.vision.models import (
    CopyMatch,
    CopySearchResult,
    PreparedImage,
    Status,
    clean,
    domain_of,
)

MAX_IMAGES_PER_REQUEST = 8
ENVELOPE_BYTES = 200
"""Upper bound for the JSON around the images: ``{"folderId":…,"analyzeSpecs":[…]}``."""

BROKEN = "PROTOCOL"
"""Error code of an image whose part of the reply breaks the contract."""

PIECE_BYTES = 512 * 1024
INT64_MAX = 2**63 - 1


def encode_image(content: bytes, mime_type: str) -> bytes:
    """One ``AnalyzeSpec`` as JSON, after a comma. Base64 needs no escaping, so it bypasses the JSON encoder."""
    head = f',{{"features":[{{"type":"IMAGE_COPY_SEARCH"}}],"mimeType":{json.dumps(mime_type)},"content":"'
    return b"".join((head.encode(), pybase64.b64encode(content), b'"}'))


class RequestBody:
    """A ``BatchAnalyzeRequest`` in parts that are sent one after another and never joined.

    :param parts: from :func:`encode_image`, 1 to 8 of them.
    """

    def __init__(self, parts: Sequence[bytes], folder_id: str | None = None) -> None:
        folder = f'"folderId":{json.dumps(folder_id)},'.encode() if folder_id else b""
        without_comma = [part[1:] for part in parts[:1]]
        self._parts = [b"{" + folder + b'"analyzeSpecs":[', *without_comma, *parts[1:], b"]}"]

    def __iter__(self) -> Iterator[bytes]:
        """The parts in pieces: the socket's timeout applies to each, and must suffice on a slow line."""
        for part in self._parts:
            for start in range(0, len(part), PIECE_BYTES):
                yield part[start : start + PIECE_BYTES]

    def __len__(self) -> int:
        return sum(map(len, self._parts))


def decode_reply(payload: bytes, images: Sequence[PreparedImage], searched_at: datetime) -> list[CopySearchResult]:
    """Read a ``BatchAnalyzeResponse``.

    Nothing in a reply names an image: position is the only link. A reply of another length than the request is
    therefore useless for all of its images.

    :param images: those of the request, in its order.
    :return: one result per image; an image whose part makes no sense is ``failed`` with code ``PROTOCOL``.
    :raises ProtocolError: not JSON, another length, or nothing in it makes sense.
    """
    try:
        reply = json.loads(payload, object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError):
        raise ProtocolError("the reply is not JSON") from None
    replies = _list(_dict(reply, "reply").get("results"), "results")
    if len(replies) != len(images):
        raise ProtocolError(f"the reply has {len(replies)} results for {len(images)} images")
    results = [_decode_result(image, result, searched_at) for image, result in zip(images, replies, strict=True)]
    if results and all(result.error_code == BROKEN for result in results):
        raise ProtocolError(results[0].error_message or BROKEN)
    return results


def decode_error(payload: bytes) -> tuple[str | None, str | None]:
    """Code name and message of an error body, in any of the shapes seen at the vendor's hosts.

    :return: ``(None, None)`` if the body cannot be understood.
    """
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(body, dict):
        return None, None
    if isinstance(body.get("error"), dict):
        body = body["error"]
    code = next((body[key] for key in ("code", "grpcCode", "error_code") if body.get(key)), None)
    message = next((body[key] for key in ("message", "error_message") if body.get(key)), None)
    name = GRPC_CODES.get(code, str(code)) if isinstance(code, int) else code
    return (clean(name) if isinstance(name, str) else None), (clean(message) if isinstance(message, str) else None)


def _decode_result(image: PreparedImage, reply: Any, searched_at: datetime) -> CopySearchResult:
    """A broken part of a reply costs one image: the other answers are paid for."""
    try:
        return _decode_file(image, _dict(reply, "results[i]"), searched_at)
    except ProtocolError as error:
        return image.result("failed", searched_at, error_code=BROKEN, error_message=error.message)


def _decode_file(image: PreparedImage, file: dict[str, Any], searched_at: datetime) -> CopySearchResult:
    features = [_dict(feature, "results[i].results[j]") for feature in _list(file.get("results"), "results[i].results")]
    for level in (file, *features):
        code, message = _decode_status(level.get("error"))
        if code or message:
            return image.result(
                "rejected" if code == 3 else "failed",
                searched_at,
                error_code=GRPC_CODES.get(code or 2, str(code)),
                error_message=clean(message),
            )
    for feature in features:
        if feature.get("imageCopySearch") is not None:
            copy_count, matches = _decode_annotation(_dict(feature["imageCopySearch"], "imageCopySearch"))
            status: Status = "found" if copy_count or matches else "none"
            return image.result(status, searched_at, copy_count=copy_count, matches=matches)
    raise ProtocolError("the reply has neither an annotation nor an error")


def _decode_status(error: Any) -> tuple[int, str]:
    """Code and message of a ``google.rpc.Status``; 0 and no message if there is no error."""
    status = _dict({} if error is None else error, "error")
    code, message = status.get("code") or 0, status.get("message") or ""
    if isinstance(code, bool) or not isinstance(code, int) or not isinstance(message, str):
        raise ProtocolError("an error in the reply has a code or a message of the wrong type")
    return code, message


def _decode_annotation(annotation: dict[str, Any]) -> tuple[int, tuple[CopyMatch, ...]]:
    matches = _list(annotation.get("topResults"), "topResults")
    return _int64(annotation.get("copyCount")), tuple(
        _decode_match(_dict(match, "topResults[k]"), rank) for rank, match in enumerate(matches, start=1)
    )


def _decode_match(match: dict[str, Any], rank: int) -> CopyMatch:
    page_url = _text(match.get("pageUrl"))
    return CopyMatch(
        image_url=_text(match.get("imageUrl")),
        page_url=page_url,
        title=_text(match.get("title")),
        description=_text(match.get("description")),
        rank=rank,
        domain=domain_of(page_url),
    )


def _int64(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT64_MAX:
        raise ProtocolError("copyCount is not a count")
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ProtocolError("a match has a field that is not text")
    return clean(value)


def _unambiguous(members: list[tuple[str, Any]]) -> dict[str, Any] | list[tuple[str, Any]]:
    """An object; if a key occurs twice its members, which are taken for no object. Protobuf's JSON refuses it too."""
    unique = dict(members)
    return unique if len(unique) == len(members) else members


def _dict(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(f"{where} is not an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ProtocolError(f"{where} is not a list")
    return value
