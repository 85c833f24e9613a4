"""What the vendor documents, or leaves open, and what the service says about it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from airflow_provider_yandex_vision.live import pictures
from airflow_provider_yandex_vision.live.service import LiveService, Reply, annotation_of, error_of
from airflow_provider_yandex_vision.vision.wire import MAX_IMAGES_PER_REQUEST

MAX_CONTENT_BYTES = 7_864_320
"""So many bytes are 10,485,760 characters of base64, the documented limit."""

NOT_AN_IMAGE = b"This is not an image.\n"
WRONG_KEY = "AQVN-this-is-not-a-key"


class Fact(NamedTuple):
    """One row of the table.

    :param holds: None if the documentation leaves it open.
    """

    name: str
    expected: str
    seen: str
    holds: bool | None


def check_access(service: LiveService) -> tuple[Fact, bool]:
    """Send a request without images, which costs nothing. :return: also whether the key was accepted."""
    reply = service.ask([])
    fact = Fact("request without images", "HTTP 400, INVALID_ARGUMENT", str(reply), reply.status == 400)
    return fact, reply.status not in (0, 401, 403)


def check_limits(service: LiveService) -> Iterator[Fact]:
    """Requests that the service is to refuse. Nothing in them can be searched, so nothing is billed."""
    reply = service.ask([], api_key=WRONG_KEY)
    yield Fact("wrong key", "HTTP 401, UNAUTHENTICATED", str(reply), reply.status == 401)
    reply = service.ask([NOT_AN_IMAGE] * (MAX_IMAGES_PER_REQUEST + 1))
    name = f"{MAX_IMAGES_PER_REQUEST + 1} images in a request"
    yield Fact(name, "HTTP 400, INVALID_ARGUMENT", str(reply), reply.status == 400)
    reply = service.ask([NOT_AN_IMAGE.ljust(MAX_CONTENT_BYTES + 1)])
    yield Fact("image of 7,864,321 bytes", "HTTP 400 or 413", str(reply), reply.status in (400, 413))


def check_small_pictures(service: LiveService, random: Random, known: bytes | None) -> Iterator[Fact]:
    """A picture that nobody has published, a text, and a picture that has copies if there is one, in one request.

    At most two images are billed.
    """
    images = [pictures.small(random), NOT_AN_IMAGE, *filter(None, [known])]
    reply = service.ask(images)
    results = reply.results()
    yield Fact("request of images", "HTTP 200", str(reply), reply.status == 200)
    yield from _check_headers(reply)
    yield Fact("results", f"{len(images)}, in order", str(len(results)), len(results) == len(images))
    if len(results) == len(images):
        unpublished, text, *found = results
        error = error_of(text)
        as_expected = error.startswith("INVALID_ARGUMENT") and error.endswith("file")
        yield Fact("text instead of an image", "INVALID_ARGUMENT, for the file", error or "no error", as_expected)
        yield from _check_unpublished(unpublished)
        for result in found:
            yield from _check_known(result)


def check_large_picture(service: LiveService, random: Random) -> Iterator[Fact]:
    """Limits that older pages of the vendor name and newer ones do not. At most one image is billed."""
    reply = service.ask([pictures.large(random)])
    result = next(iter(reply.results()), {})
    seen = "searched" if annotation_of(result) is not None else error_of(result) or str(reply)
    yield Fact("picture of 1.5 MB and 20.5 megapixels", "left open", seen, None)


def _check_headers(reply: Reply) -> Iterator[Fact]:
    for name in ("x-request-id", "x-server-trace-id"):
        present = name in reply.headers
        yield Fact(f"header {name}", "present", "present" if present else "missing", present)


def _check_unpublished(result: dict[str, Any]) -> Iterator[Fact]:
    annotation = annotation_of(result)
    seen = error_of(result) or "no annotation" if annotation is None else f"{_count(annotation)} copies"
    yield Fact("unpublished picture", "0 copies", seen, seen == "0 copies")
    if annotation is not None:
        printed = ", ".join(sorted(annotation)) or "left out"
        yield Fact("defaults of a picture without copies", "left out or printed", printed, None)


def _check_known(result: dict[str, Any]) -> Iterator[Fact]:
    annotation = annotation_of(result) or {}
    count, matches = _count(annotation), annotation.get("topResults") or []
    kind = {str: "text", int: "number"}.get(type(annotation.get("copyCount")), "missing")
    yield Fact("published picture", "copies", error_of(result) or f"{count} copies", count > 0)
    yield Fact("copyCount", "number or text", kind, None)
    yield Fact("topResults", "at most copyCount", str(len(matches)), len(matches) <= count)
    bare = sum("://" not in str(match.get("pageUrl")) for match in matches)
    yield Fact("pageUrl without a scheme", "possible", f"{bare} of {len(matches)}", None)
    fields = ", ".join(sorted({name for match in matches for name in match}))
    yield Fact("fields of a page", "imageUrl, pageUrl, title, description", fields, None)


def _count(annotation: dict[str, Any]) -> int:
    count = str(annotation.get("copyCount") or 0)
    return int(count) if count.isdecimal() else -1
