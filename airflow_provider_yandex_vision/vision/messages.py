"""What goes over the wire and what comes back, as Python values.

The shapes are those of ``yandex/cloud/ai/vision/v1/vision_service.proto`` and
``image_copy_search.proto``, printed as protobuf's JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pybase64

from airflow_provider_yandex_vision.vision.errors import GRPC_CODES, ProtocolError

MAX_IMAGES_PER_REQUEST = 8
PIECE_BYTES = 512 * 1024
MAX_CONTENT_BYTES = 7_864_320
"""10,485,760 characters of base64, the schema's limit of ``content``."""

BROKEN = "PROTOCOL"
"""Code of an image whose answer breaks the contract."""

INT64_MAX = 2**63 - 1

Status: TypeAlias = Literal["found", "none", "rejected", "failed"]


class Content(bytes):
    """Bytes that know which version of the object they are.

    An :class:`Image` may read these instead of plain bytes where the storage tells the version
    that was really read; it then takes the place of the one from the listing.
    """

    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture to search for; its bytes are fetched when its turn comes.

    :param uri: identity; no connection id in it.
    :param read: returns the bytes; called once, off the main thread.
    :param size: bytes, from the listing.
    :param etag: version of the content, from the listing.
    """

    uri: str
    read: Callable[[], bytes]
    size: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class CopyMatch:
    """One page that shows a copy; ``rank`` 1 is the most relevant."""

    image_url: str
    page_url: str
    title: str
    description: str
    rank: int
    domain: str


@dataclass(frozen=True, slots=True)
class CopySearchResult:
    """What became of one image.

    ``found`` and ``none`` are answers. ``rejected`` says that the bytes are at fault and searching
    them again is pointless; ``failed`` that the service or the storage gave up, and another time
    may work. ``copy_count`` can exceed ``len(matches)``: the service lists the best few.
    """

    uri: str
    status: Status
    copy_count: int | None = None
    matches: tuple[CopyMatch, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    sha256: str | None = None
    size: int | None = None
    etag: str | None = None
    mime_type: str | None = None
    searched_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, for XCom and JSON; ``searched_at`` in ISO 8601."""
        plain = _values(self)
        plain["matches"] = [_values(match) for match in self.matches]
        plain["searched_at"] = self.searched_at.isoformat() if self.searched_at else None
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> CopySearchResult:
        """Reverse of :meth:`to_dict`."""
        matches = tuple(CopyMatch(**match) for match in plain["matches"])
        searched_at = plain["searched_at"] and datetime.fromisoformat(plain["searched_at"])
        return cls(**{**plain, "matches": matches, "searched_at": searched_at})


@dataclass(frozen=True, slots=True)
class Answer:
    """The service's word on one image of a request, in the order of the request."""

    status: Status
    copy_count: int | None = None
    matches: tuple[CopyMatch, ...] = ()
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """One ``AnalyzeSpec`` as JSON, in two parts: joining them would copy the image once more."""

    head: bytes
    content: bytes

    def __len__(self) -> int:
        return len(self.head) + len(self.content) + len(SPEC_END)


SPEC_END = b'"}'
NO_SPEC = Spec(b"", b"")


def encode_spec(content: bytes, mime_type: str) -> Spec:
    """Base64 needs no escaping, so no JSON encoder goes over it."""
    head = f'{{"features":[{{"type":"IMAGE_COPY_SEARCH"}}],"mimeType":{json.dumps(mime_type)},"content":"'
    return Spec(head.encode(), pybase64.b64encode(content))


class RequestBody:
    """A ``BatchAnalyzeRequest`` as parts that are sent one after another, never joined.

    :param specs: from :func:`encode_spec`, 1 to 8 of them.
    """

    def __init__(self, specs: Sequence[Spec], folder_id: str | None = None) -> None:
        folder = f'"folderId":{json.dumps(folder_id)},'.encode() if folder_id else b""
        self._parts: list[bytes] = []
        between = b"{" + folder + b'"analyzeSpecs":['
        for spec in specs:
            self._parts += (between + spec.head, spec.content)
            between = SPEC_END + b","
        self._parts.append(SPEC_END + b"]}" if specs else between + b"]}")

    def __iter__(self) -> Iterator[bytes]:
        """The parts, in pieces: the time to send each is bounded, and must do on a slow line."""
        for part in self._parts:
            for start in range(0, len(part), PIECE_BYTES):
                yield part[start : start + PIECE_BYTES] if len(part) > PIECE_BYTES else part

    def __len__(self) -> int:
        return sum(map(len, self._parts))


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


def clean(text: str) -> str:
    """Make text storable anywhere: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def domain_of(url: str) -> str:
    """Host of a URL in lower case, also where the scheme is missing; empty where there is none."""
    has_scheme = re.match(r"([a-z][a-z0-9+.-]*:)?//", url, re.IGNORECASE)
    try:
        return urlsplit(url if has_scheme else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _values(record: CopyMatch | CopySearchResult) -> dict[str, Any]:
    """Not ``dataclasses.asdict``: its deep copies would take half of a run's time."""
    return {name: getattr(record, name) for name in record.__slots__}


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
