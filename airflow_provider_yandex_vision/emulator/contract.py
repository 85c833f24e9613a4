"""Validate requests, and reject them in the service's words.

Fields and limits are those of ``yandex/cloud/ai/vision/v1/vision_service.proto`` in protobuf's JSON form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

import pybase64

from airflow_provider_yandex_vision.vision.errors import GRPC_CODES
from airflow_provider_yandex_vision.vision.wire import MAX_IMAGES_PER_REQUEST

Json: TypeAlias = dict[str, Any]

INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED = 3, 5, 8, 12, 16

COPY_SEARCH = "IMAGE_COPY_SEARCH"
FEATURE_TYPES = ("TYPE_UNSPECIFIED", "TEXT_DETECTION", "CLASSIFICATION", "FACE_DETECTION", COPY_SEARCH)

MAX_FEATURES = 8
MAX_CONTENT_CHARACTERS = 10_485_760
MAX_SIGNATURE_CHARACTERS = 16_384
MAX_MIME_TYPE_CHARACTERS = 255
MAX_FOLDER_ID_CHARACTERS = 50


class Refusal(Exception):
    """The whole request is answered with an error.

    :param status: HTTP status.
    :param code: gRPC code.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{GRPC_CODES[code]}: {message}")
        self.status = status
        self.body: Json = {"code": code, "message": message, "details": []}


@dataclass(frozen=True, slots=True)
class AnalyzeSpec:
    """One image of a request, and the ``FEATURE_TYPES`` requested for it."""

    content: bytes
    features: tuple[str, ...]


def parse_request(body: bytes, own_folder_id: str) -> list[AnalyzeSpec]:
    """Parse a ``BatchAnalyzeRequest``.

    :param own_folder_id: the folder of the key's service account, the only one allowed in ``folderId``.
    :raises Refusal: the request violates the contract; the message names the field.
    """
    try:
        request = _object(json.loads(body), "request", "analyzeSpecs", "folderId")
    except (ValueError, RecursionError):
        raise _invalid("the body is not JSON") from None
    specs = _list(request, "analyzeSpecs", "request", MAX_IMAGES_PER_REQUEST)
    parsed = [_parse_spec(spec, f"analyzeSpecs[{position}]") for position, spec in enumerate(specs)]
    folder_id = _text(request, "folderId", "request", MAX_FOLDER_ID_CHARACTERS)
    if folder_id not in ("", own_folder_id):
        raise _invalid(
            f"Specified folder ID {folder_id!r} does not match with service account folder ID {own_folder_id!r}"
        )
    return parsed


def _parse_spec(value: Any, where: str) -> AnalyzeSpec:
    spec = _object(value, where, "content", "signature", "features", "mimeType")
    if "content" in spec and "signature" in spec:
        raise _invalid(f"{where} has both content and signature")
    _text(spec, "signature", where, MAX_SIGNATURE_CHARACTERS)
    _text(spec, "mimeType", where, MAX_MIME_TYPE_CHARACTERS)
    features = _list(spec, "features", where, MAX_FEATURES)
    return AnalyzeSpec(
        content=_decode(_text(spec, "content", where, MAX_CONTENT_CHARACTERS), f"{where}.content"),
        features=tuple(_parse_feature(feature, f"{where}.features[{i}]") for i, feature in enumerate(features)),
    )


def _parse_feature(value: Any, where: str) -> str:
    feature = _object(value, where, "type", "classificationConfig", "textDetectionConfig")
    name = feature.get("type", FEATURE_TYPES[0])
    if name not in FEATURE_TYPES:
        raise _invalid(f"{where}.type is none of {', '.join(FEATURE_TYPES)}")
    return str(name)


def _decode(text: str, where: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise _invalid(f"{where} is not base64") from None


def _object(value: Any, where: str, *fields: str) -> Json:
    if not isinstance(value, dict):
        raise _invalid(f"{where} is not an object")
    if unknown := sorted(value.keys() - fields):
        raise _invalid(f"{where} has no field named {unknown[0]!r}")
    return {name: content for name, content in value.items() if content is not None}


def _list(parent: Json, field: str, where: str, max_length: int) -> list[Any]:
    value = parent.get(field, [])
    if not isinstance(value, list) or not 1 <= len(value) <= max_length:
        raise _invalid(f"{where}.{field} must have 1 to {max_length} elements")
    return value


def _text(parent: Json, field: str, where: str, max_length: int) -> str:
    value = parent.get(field, "")
    if not isinstance(value, str) or len(value) > max_length:
        raise _invalid(f"{where}.{field} must be text of at most {max_length} characters")
    return value


def _invalid(message: str) -> Refusal:
    return Refusal(400, INVALID_ARGUMENT, message)
