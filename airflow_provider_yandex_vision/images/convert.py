"""Convert images that the service does not accept to JPEG. Needs the extra ``pillow``."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING

from airflow_provider_yandex_vision.search.decoding import FORMATS, MAX_DECODED_PIXELS, decoding, flatten
from airflow_provider_yandex_vision.search.prepare import SENT_TYPES
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import ImageRejectedError

if TYPE_CHECKING:
    from PIL import Image as Pillow

QUALITY = 90
PNG_BIT_DEPTH_OFFSET = 24
SHRINK_STEP = 0.8
MAX_JPEG_SIDE = 65_500
BLOCK_BYTES = 64 * 1024 * 1024
"""Of Pillow's memory. Such blocks are returned when freed; those of its default, 16 MB, stay with the thread."""


def to_accepted(content: bytes, settings: Settings) -> bytes:
    """Bytes that the service accepts; the same ones if it accepts them, or if they are not an image.

    WebP, TIFF, BMP, the first frame of a GIF, CMYK and 16-bit images become JPEG. Images over the limits are scaled
    down until they fit. The EXIF orientation is applied, and transparency becomes white.

    :raises ImageRejectedError: the image is broken, or a decompression bomb.
    :raises MemoryError: there is no memory to decode it.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow only warns about images between its own limit and twice that.
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            image = Pillow.open(io.BytesIO(content), formats=FORMATS)
            pixels = image.width * image.height
            if pixels > MAX_DECODED_PIXELS:
                raise Pillow.DecompressionBombError(f"{image.width}x{image.height} pixels")
            if _is_accepted(content, image, settings):
                return content
            Pillow.core.set_block_size(BLOCK_BYTES)  # type: ignore[attr-defined]  # documented, but not typed
            with decoding.reserved(pixels):
                ImageOps.exif_transpose(image, in_place=True)
                return _fit(flatten(image), settings)
    except (ImageRejectedError, MemoryError):
        raise
    except UnidentifiedImageError:
        return content
    except Pillow.DecompressionBombError as error:
        raise ImageRejectedError(f"treated as a decompression bomb: {error}", "DECOMPRESSION_BOMB") from error
    except Exception as error:
        raise ImageRejectedError(f"broken image: {type(error).__name__}: {error}"[:500], "BROKEN_IMAGE") from error


def _is_accepted(content: bytes, image: Pillow.Image, settings: Settings) -> bool:
    return (
        any(content.startswith(magic) for magic in SENT_TYPES)
        and not (image.format == "PNG" and content[PNG_BIT_DEPTH_OFFSET] == 16)
        and image.mode in ("RGB", "RGBA", "L", "LA", "P", "1")
        and len(content) <= settings.max_image_bytes
        and image.width * image.height <= settings.max_pixels
    )


def _fit(image: Pillow.Image, settings: Settings) -> bytes:
    # No side gets shorter than 1 pixel, so in a thin image the long side alone must meet the limits.
    longest = min(settings.max_pixels, MAX_JPEG_SIDE)
    scale = min(1.0, math.sqrt(settings.max_pixels / (image.width * image.height)), longest / max(image.size))
    while True:
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        content = io.BytesIO()
        (image.resize(size) if size != image.size else image).save(content, "JPEG", quality=QUALITY)
        if content.tell() <= settings.max_image_bytes:
            return content.getvalue()
        if size == (1, 1):
            raise ImageRejectedError(f"no JPEG of it fits max_image_bytes={settings.max_image_bytes:,}", "TOO_LARGE")
        scale *= SHRINK_STEP
