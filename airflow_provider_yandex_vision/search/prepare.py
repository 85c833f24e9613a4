"""Read an image, check it and encode it, so that a bad file never affects the others in its request."""

from __future__ import annotations

import hashlib
from datetime import datetime

from airflow_provider_yandex_vision.search.dimensions import dimensions
from airflow_provider_yandex_vision.search.service import Service
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import GONE, ImageError, ImageRejectedError, ImageUnreadableError
from airflow_provider_yandex_vision.vision.models import Content, CopySearchResult, Image, PreparedImage

SENT_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
OTHER_TYPES = {
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"%PDF": "application/pdf",
    b"WEBP": "image/webp",
}


def prepare_image(image: Image, service: Service, settings: Settings) -> PreparedImage:
    """Fetch, check and encode one image.

    Hash and size are those of the stored bytes, even if ``settings.convert`` sends others.

    :raises ImageRejectedError: the bytes are at fault.
    :raises ImageUnreadableError: the storage did not return them, or there is no memory for them.
    """
    try:
        return _prepare(image, service, settings)
    except MemoryError as error:
        raise ImageUnreadableError("there is not enough memory for the image", "OUT_OF_MEMORY") from error


def _prepare(image: Image, service: Service, settings: Settings) -> PreparedImage:
    if image.size is not None and (settings.convert is None or image.size > settings.max_read_bytes):
        _check_size(image.size, settings)
    stored = _read(image)
    etag = stored.etag if isinstance(stored, Content) and stored.etag else image.etag
    content = settings.convert(stored, settings) if settings.convert else stored
    _check_size(len(content), settings)
    mime_type = _check_type(content)
    _check_pixels(content, settings)
    part = service.encode(content, mime_type)
    if len(part) + service.envelope_bytes > settings.max_request_bytes:
        raise ImageRejectedError(
            f"the image alone makes a request larger than max_request_bytes={settings.max_request_bytes:,}", "TOO_LARGE"
        )
    sha256 = hashlib.sha256(stored).hexdigest()
    return PreparedImage(image.uri, part, sha256, len(stored), mime_type, etag, image.conn_id)


def result_of_error(image: Image, error: ImageError, searched_at: datetime) -> CopySearchResult:
    """The result of an image that was never sent."""
    return CopySearchResult(
        uri=image.uri,
        status="rejected" if isinstance(error, ImageRejectedError) else "failed",
        error_code=error.code,
        error_message=error.message,
        size=image.size,
        etag=image.etag,
        searched_at=searched_at,
        conn_id=image.conn_id,
    )


def _read(image: Image) -> bytes:
    try:
        content = image.read()
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError as error:
        was_listed = image.size is not None or image.etag is not None
        reason = "the object is gone: it was deleted after it was listed" if was_listed else "the object does not exist"
        raise ImageUnreadableError(reason, GONE) from error
    except Exception as error:
        raise ImageUnreadableError(f"reading failed: {type(error).__name__}: {error}"[:500]) from error
    if not isinstance(content, bytes):
        raise ImageUnreadableError(f"reading returned {type(content).__name__} instead of bytes")
    return content


def _check_size(size: int, settings: Settings) -> None:
    if size == 0:
        raise ImageRejectedError("the file is empty", "EMPTY")
    if size > settings.max_image_bytes:
        raise ImageRejectedError(
            f"the file has {size:,} bytes, more than max_image_bytes={settings.max_image_bytes:,}", "TOO_LARGE"
        )


def _check_type(content: bytes) -> str:
    for magic, mime_type in SENT_TYPES.items():
        if content.startswith(magic):
            return mime_type
    head = content[8:16] if content.startswith(b"RIFF") else content[:8]
    for magic, mime_type in OTHER_TYPES.items():
        if head.startswith(magic):
            raise ImageRejectedError(
                f"the service accepts JPEG and PNG, this is {mime_type}; convert_images=True converts images",
                "UNSUPPORTED_TYPE",
            )
    raise ImageRejectedError("the file is not an image", "NOT_AN_IMAGE")


def _check_pixels(content: bytes, settings: Settings) -> None:
    size = dimensions(content)
    if size is None:
        raise ImageRejectedError("the image header is broken or truncated", "BROKEN_IMAGE")
    width, height = size
    if width * height > settings.max_pixels:
        raise ImageRejectedError(
            f"the image has {width}x{height} pixels, more than max_pixels={settings.max_pixels:,}", "TOO_MANY_PIXELS"
        )
