"""What the service says, read with care: any bytes give either answers or an error of our tree.

The shapes are those of ``yandex/cloud/ai/vision/v1/vision_service.proto`` and
``image_copy_search.proto``, printed as protobuf's JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_provider_yandex_vision.vision.errors import GRPC_CODES, ProtocolError
from airflow_provider_yandex_vision.vision.messages import BROKEN, Answer, CopyMatch, clean, domain_of

INT64_MAX = 2**63 - 1


def decode_reply(payload: bytes, expected: int) -> list[Answer]:
    """Read a ``BatchAnalyzeResponse``.

    Nothing in a reply names an image: position is the only link, so a reply of another length
    than the request is of no use to any of its images.

    :param expected: images in the request.
    :return: an answer an image; where one of them makes no sense it is ``failed`` with the code ``PROTOCOL``.
    :raises ProtocolError: not JSON, another length, or nothing in it that makes sense.
    """
    try:
        reply = json.loads(payload, object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError):
        raise ProtocolError("the reply is not JSON") from None
    results = _list(_dict(reply, "reply").get("results"), "results")
    if len(results) != expected:
        raise ProtocolError(f"{len(results)} results came back for {expected} images")
    answers = [_answer_or_failure(result) for result in results]
    if answers and all(answer.error_code == BROKEN for answer in answers):
        raise ProtocolError(answers[0].error_message or BROKEN)
    return answers


def decode_error(payload: bytes) -> tuple[str | None, str | None]:
    """Code name and message of an error body, in any of the shapes seen at the vendor's hosts.

    :return: ``(None, None)`` where the body says nothing that can be understood.
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


def _answer_or_failure(result: Any) -> Answer:
    """What breaks the contract for one image costs that one: the others' answers are paid."""
    try:
        return _decode_answer(result)
    except ProtocolError as error:
        return Answer("failed", error_code=BROKEN, error_message=error.message)


def _decode_answer(result: Any) -> Answer:
    file = _dict(result, "results[i]")
    features = [_dict(feature, "results[i].results[j]") for feature in _list(file.get("results"), "results[i].results")]
    for level in (file, *features):
        error = _decode_error(level.get("error"))
        if error:
            return error
    for feature in features:
        if feature.get("imageCopySearch") is not None:
            return _decode_annotation(_dict(feature["imageCopySearch"], "imageCopySearch"))
    raise ProtocolError("the reply has neither an annotation nor an error")


def _decode_error(error: Any) -> Answer | None:
    status = _dict({} if error is None else error, "error")
    code, message = status.get("code") or 0, status.get("message") or ""
    if isinstance(code, bool) or not isinstance(code, int) or not isinstance(message, str):
        raise ProtocolError("an error in the reply has a code or a message of the wrong type")
    if not code and not message:
        return None
    return Answer(
        "rejected" if code == 3 else "failed",
        error_code=GRPC_CODES.get(code or 2, str(code)),
        error_message=clean(message),
    )


def _decode_annotation(annotation: dict[str, Any]) -> Answer:
    copy_count = _int64(annotation.get("copyCount"))
    matches = tuple(
        _decode_match(_dict(match, "topResults[k]"), rank)
        for rank, match in enumerate(_list(annotation.get("topResults"), "topResults"), start=1)
    )
    return Answer("found" if copy_count or matches else "none", copy_count, matches)


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
    """An object; where a key comes twice its members, which pass for no object. Protobuf's JSON refuses it as well."""
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
