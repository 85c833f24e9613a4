"""Pictures that the service does not take, made into JPEG that it does. Needs the extra ``pillow``."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

from airflow_provider_yandex_vision.search.prepare import SENT_TYPES
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ImageRejectedError

if TYPE_CHECKING:
    from PIL import Image as Pillow

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
QUALITY = 90
PNG_BIT_DEPTH_OFFSET = 24
SHRINK_STEP = 0.8
MAX_JPEG_SIDE = 65_500
MAX_DECODED_PIXELS = 100_000_000
"""A picture of more is taken for a decompression bomb: decoded it would fill the worker's memory."""


def require_pillow() -> None:
    """:raises ConfigurationError: Pillow is not installed."""
    try:
        import PIL  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigurationError(
            "convert_images needs Pillow: pip install 'airflow-provider-yandex-vision[pillow]'"
        ) from error


def to_accepted(content: bytes, settings: Settings) -> bytes:
    """Bytes that the service takes: the same ones where it takes them as they are.

    WebP, TIFF, BMP, the first frame of a GIF, CMYK and 16-bit pictures become JPEG; what is over the limits is
    scaled down until it fits. The EXIF orientation is applied, transparency becomes white.

    :raises ImageRejectedError: not a picture, broken, or a decompression bomb.
    """
    import PIL
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            # Pillow only warns of pictures between its own limit and twice that; ours is checked below.
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            picture = Pillow.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > MAX_DECODED_PIXELS:
                raise ImageRejectedError(
                    f"{picture.width}x{picture.height} pixels are taken for a decompression bomb", "DECOMPRESSION_BOMB"
                )
            if _is_accepted(content, picture, settings):
                return content
            return _fit(_flatten(ImageOps.exif_transpose(picture)), settings)
    except ImageRejectedError:
        raise
    except PIL.UnidentifiedImageError:
        return content
    except Pillow.DecompressionBombError as error:
        raise ImageRejectedError("the picture is taken for a decompression bomb", "DECOMPRESSION_BOMB") from error
    except Exception as error:
        reason = f"the picture is broken: {type(error).__name__}: {error}"[:500]
        raise ImageRejectedError(reason, "BROKEN_IMAGE") from error


def _is_accepted(content: bytes, picture: Pillow.Image, settings: Settings) -> bool:
    sixteen_bit_png = picture.format == "PNG" and content[PNG_BIT_DEPTH_OFFSET] == 16
    return (
        any(content.startswith(magic) for magic in SENT_TYPES)
        and not sixteen_bit_png
        and picture.mode in ("RGB", "RGBA", "L", "LA", "P", "1")
        and len(content) <= settings.max_image_bytes
        and picture.width * picture.height <= settings.max_pixels
    )


def _flatten(picture: Pillow.Image) -> Pillow.Image:
    from PIL import Image as Pillow

    if picture.mode.startswith(("I", "F")):
        return _to_8_bits(picture)
    if "A" in picture.mode or "transparency" in picture.info:
        white = Pillow.new("RGBA", picture.size, "white")
        return Pillow.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _to_8_bits(picture: Pillow.Image) -> Pillow.Image:
    """Scale the values: Pillow's own conversion cuts off whatever is over 255."""
    values = picture.convert("F")
    highest: Any = values.getextrema()[1]
    scale = 255 / (65535 if highest > 255 else 255)
    return values.point(lambda value: value * scale).convert("L").convert("RGB")


def _fit(picture: Pillow.Image, settings: Settings) -> bytes:
    # A side never gets below 1, however thin the picture: the other one must fit without its help.
    longest = min(settings.max_pixels, MAX_JPEG_SIDE)
    scale = min(1.0, math.sqrt(settings.max_pixels / (picture.width * picture.height)), longest / max(picture.size))
    while True:
        size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
        content = io.BytesIO()
        (picture.resize(size) if size != picture.size else picture).save(content, "JPEG", quality=QUALITY)
        if content.tell() <= settings.max_image_bytes:
            return content.getvalue()
        if size == (1, 1):
            raise ImageRejectedError(f"no JPEG of it fits max_image_bytes={settings.max_image_bytes:,}", "TOO_LARGE")
        scale *= SHRINK_STEP
