"""Look at an image before it is sent, so that a bad file never costs its neighbours in the batch."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_yandex_vision.vision.errors import ImageError, ImageRejectedError, ImageUnreadableError
from airflow_provider_yandex_vision.vision.messages import (
    MAX_CONTENT_BYTES,
    Answer,
    Content,
    CopySearchResult,
    Image,
    encode_spec,
)

MAX_PIXELS = 20_000_000
MAX_REQUEST_BYTES = 20_000_000
MAX_CONVERTED_BYTES = 100_000_000
"""A larger file is not read into memory, whatever could be made of it."""

SENT_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}

KNOWN_TYPES = {
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"%PDF": "application/pdf",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service takes. The vendor's pages differ, so all but the schema's own are settings.

    :param max_image_bytes: bytes of one file; 7,864,320 is what the schema's base64 field holds.
    :param max_pixels: width times height; the vendor says 20 megapixels.
    :param max_request_bytes: bytes of one request's body, as JSON.
    """

    max_image_bytes: int = MAX_CONTENT_BYTES
    max_pixels: int = MAX_PIXELS
    max_request_bytes: int = MAX_REQUEST_BYTES


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """An image that was read, fits the limits and is encoded for a request."""

    image: Image
    spec: bytes
    sha256: str
    size: int
    mime_type: str
    etag: str | None

    def result(self, answer: Answer, searched_at: datetime) -> CopySearchResult:
        """The answer as this image's row."""
        return CopySearchResult(
            uri=self.image.uri,
            status=answer.status,
            copy_count=answer.copy_count,
            matches=answer.matches,
            error_code=answer.error_code,
            error_message=answer.error_message,
            sha256=self.sha256,
            size=self.size,
            etag=self.etag,
            mime_type=self.mime_type,
            searched_at=searched_at,
        )


Convert = Callable[[bytes, Limits], bytes]
"""Makes bytes that the service takes out of bytes it does not; raises ImageRejectedError."""


def read_checked(image: Image, limits: Limits, convert: Convert | None = None) -> CheckedImage:
    """Fetch and check one image.

    Hash and size are those of the stored bytes, whatever ``convert`` makes of them.

    :raises ImageRejectedError: the bytes are at fault.
    :raises ImageUnreadableError: the storage did not hand them over.
    """
    if image.size is not None and (convert is None or image.size > MAX_CONVERTED_BYTES):
        _check_size(image.size, limits)
    stored = _read(image)
    etag = stored.etag if isinstance(stored, Content) and stored.etag else image.etag
    content = convert(stored, limits) if convert else stored
    _check_size(len(content), limits)
    mime_type = _check_type(content)
    _check_pixels(content, limits)
    spec = encode_spec(content, mime_type)
    return CheckedImage(image, spec, hashlib.sha256(stored).hexdigest(), len(stored), mime_type, etag)


def result_of(image: Image, error: ImageError, searched_at: datetime) -> CopySearchResult:
    """The row of an image that was never sent."""
    return CopySearchResult(
        uri=image.uri,
        status="rejected" if isinstance(error, ImageRejectedError) else "failed",
        error_code=error.code,
        error_message=error.message,
        size=image.size,
        etag=image.etag,
        searched_at=searched_at,
    )


def _read(image: Image) -> bytes:
    try:
        content = image.read()
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageUnreadableError("the object is gone: it was listed, then deleted", "GONE") from error
    except Exception as error:
        raise ImageUnreadableError(f"reading failed: {type(error).__name__}: {error}"[:500]) from error
    if not isinstance(content, bytes):
        raise ImageUnreadableError(f"reading gave {type(content).__name__} instead of bytes")
    return content


def _check_size(size: int, limits: Limits) -> None:
    if size == 0:
        raise ImageRejectedError("the file is empty", "EMPTY")
    if size > limits.max_image_bytes:
        raise ImageRejectedError(
            f"the file has {size:,} bytes, more than max_image_bytes={limits.max_image_bytes:,}", "TOO_LARGE"
        )
    body_bytes = size * 4 // 3 + 200
    if body_bytes > limits.max_request_bytes:
        raise ImageRejectedError(
            f"the file alone makes a request of {body_bytes:,} bytes, more than "
            f"max_request_bytes={limits.max_request_bytes:,}",
            "TOO_LARGE",
        )


def _check_type(content: bytes) -> str:
    for magic, mime_type in SENT_TYPES.items():
        if content.startswith(magic):
            return mime_type
    kind = _known_type(content)
    if kind:
        raise ImageRejectedError(
            f"the service takes JPEG and PNG, this is {kind}; convert_images=True converts pictures", "UNSUPPORTED_TYPE"
        )
    raise ImageRejectedError("the file is not an image", "NOT_AN_IMAGE")


def _known_type(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in KNOWN_TYPES.items() if content.startswith(magic)), None)


def _check_pixels(content: bytes, limits: Limits) -> None:
    import imagesize  # late: it loads urllib and XML, which parsing a DAG has no use for

    try:
        width, height = imagesize.get(io.BytesIO(content), exif_rotation=False)
    except Exception:  # imagesize raises whatever its struct calls do on a broken header
        width = height = -1
    if width <= 0 or height <= 0:
        raise ImageRejectedError("the picture's header is broken or cut short", "BROKEN_IMAGE")
    if width * height > limits.max_pixels:
        raise ImageRejectedError(
            f"the picture has {width}x{height} pixels, more than max_pixels={limits.max_pixels:,}", "TOO_MANY_PIXELS"
        )
