"""Requests and replies of ``batchAnalyze`` as JSON: the only module that knows their shape.

The messages are ``BatchAnalyzeRequest`` and ``BatchAnalyzeResponse`` (``yandex/cloud/ai/vision/v1`` in the vendor's
protobufs) in protobuf's JSON mapping. Reading any bytes gives results or one of the package's errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias, TypeVar

import pybase64

from airflow_provider_yandex_vision.vision.errors import (
    COPY_SEARCH_OFF,
    GRPC_CODES,
    CopySearchOffError,
    InvalidRequestError,
    ProtocolError,
)
from airflow_provider_yandex_vision.vision.faults import BROKEN, Level, fault_of
from airflow_provider_yandex_vision.vision.models import (
    CopyMatch,
    CopySearchResult,
    PreparedImage,
    Status,
    clean,
    domain_of,
)
from airflow_provider_yandex_vision.vision.sites import normal_host, site_of

MAX_IMAGES_PER_REQUEST = 8
ENVELOPE_BYTES = 200
"""Upper bound for the JSON around the images: ``{"folderId":…,"analyzeSpecs":[…]}``."""

PIECE_BYTES = 512 * 1024
INT64_MAX = 2**63 - 1

MATCH_TEXTS = {"image_url": "imageUrl", "page_url": "pageUrl", "title": "title", "description": "description"}
KINDS = {dict: "an object", list: "a list", str: "text", int: "a whole number"}
Hide: TypeAlias = Callable[[str], str]
T = TypeVar("T", dict[str, Any], list[Any], str, int)


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


def decode_reply(
    payload: bytes, images: Sequence[PreparedImage], searched_at: datetime, hide: Hide = str
) -> list[CopySearchResult]:
    """Read a ``BatchAnalyzeResponse``.

    Nothing in a reply names an image: position is the only link. So a reply whose length differs from the request's
    is useless for all images.

    :param images: those of the request, in order.
    :param hide: removes secrets from decoded text.
    :return: one result per image; an image whose part is invalid is ``failed`` with code ``PROTOCOL``.
    :raises ProtocolError: not JSON, wrong length, or nothing in it is valid.
    """
    try:
        reply = json.loads(payload, object_pairs_hook=partial(_unambiguous, hide))
    except (ValueError, RecursionError):
        raise ProtocolError("the reply is not JSON") from None
    replies = _field(_checked(reply, dict, "reply"), "results", list)
    if len(replies) != len(images):
        raise ProtocolError(f"the reply has {len(replies)} results for {len(images)} images")
    results = [_decode_image(image, part, searched_at) for image, part in zip(images, replies, strict=True)]
    if results and all(result.error_code == BROKEN for result in results):
        raise ProtocolError(results[0].error_message or BROKEN)
    return results


def decode_error(payload: bytes, hide: Hide = str) -> tuple[str | None, str | None]:
    """Code name and message of an error body, in any of the shapes seen at the vendor's hosts.

    :return: ``(None, None)`` if the body cannot be parsed.
    """
    try:
        body = json.loads(payload, object_pairs_hook=partial(_without_secrets, hide))
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if not isinstance(body, dict):
        return None, None
    code = next((body[key] for key in ("code", "grpcCode", "error_code") if body.get(key)), None)
    message = next((body[key] for key in ("message", "error_message") if body.get(key)), None)
    name = GRPC_CODES.get(code, str(code)) if isinstance(code, int) else code
    return (clean(name) if isinstance(name, str) else None), (clean(message) if isinstance(message, str) else None)


def _decode_image(image: PreparedImage, part: Any, searched_at: datetime) -> CopySearchResult:
    """An invalid part of a reply costs one image: the other answers are paid for."""
    try:
        status, answer = _decode_answer(_checked(part, dict, "results[i]"))
    except ProtocolError as error:
        status, answer = "failed", {"error_code": BROKEN, "error_message": error.message}
    return image.result(status, searched_at, **answer)


def _decode_answer(file: dict[str, Any]) -> tuple[Status, dict[str, Any]]:
    features = [_checked(feature, dict, "results[i].results[j]") for feature in _field(file, "results", list)]
    for level in (file, *features):
        error = _field(level, "error", dict)
        code, message = _field(error, "code", int), _field(error, "message", str)
        if code or message:
            name = GRPC_CODES.get(code or 2, str(code))
            fault = fault_of(Level.IMAGE, 200, name)
            if fault is CopySearchOffError:
                message = f"{COPY_SEARCH_OFF}: {message}"
            status: Status = "rejected" if fault is InvalidRequestError else "failed"
            return status, {"error_code": name, "error_message": clean(message)}
    for feature in features:
        if feature.get("imageCopySearch") is not None:
            annotation = _field(feature, "imageCopySearch", dict)
            copy_count, matches = _decode_count(annotation), _decode_matches(annotation)
            return "found" if copy_count or matches else "none", {"copy_count": copy_count, "matches": matches}
    raise ProtocolError("the reply has neither an annotation nor an error")


def _decode_count(annotation: dict[str, Any]) -> int:
    """``copyCount`` is an int64, which protobuf prints as text and other servers as a number."""
    count = annotation.get("copyCount")
    if isinstance(count, str) and re.fullmatch(r"[0-9]{1,19}", count):
        count = int(count)
    count = 0 if count is None else _checked(count, int, "copyCount")
    if not 0 <= count <= INT64_MAX:
        raise ProtocolError("copyCount is out of range")
    return count


def _decode_matches(annotation: dict[str, Any]) -> tuple[CopyMatch, ...]:
    matches = []
    for rank, match in enumerate(_field(annotation, "topResults", list), start=1):
        page = _checked(match, dict, "topResults[k]")
        texts = {ours: clean(_field(page, theirs, str)) for ours, theirs in MATCH_TEXTS.items()}
        domain = normal_host(domain_of(texts["page_url"] or texts["image_url"]))
        matches.append(CopyMatch(**texts, rank=rank, domain=domain, site=site_of(domain)))
    return tuple(matches)


def _without_secrets(hide: Hide, members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Its texts are decoded: neither escapes nor another encoding keep a secret from being found."""
    return {name: hide(value) if isinstance(value, str) else value for name, value in members}


def _unambiguous(hide: Hide, members: list[tuple[str, Any]]) -> dict[str, Any] | list[tuple[str, Any]]:
    """An object, or a list of its members if a key occurs twice: protobuf rejects that too."""
    unique = _without_secrets(hide, members)
    return unique if len(unique) == len(members) else members


def _field(message: dict[str, Any], name: str, kind: type[T]) -> T:
    """A field's value; if it is missing or null, the default of its type, as in protobuf."""
    value = message.get(name)
    return kind() if value is None else _checked(value, kind, name)


def _checked(value: Any, kind: type[T], name: str) -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ProtocolError(f"{name} is not {KINDS[kind]}")
    return value
