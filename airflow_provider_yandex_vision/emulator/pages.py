"""A folder that stands for the web: ``<site domain>/<path>/<image>``, each image on the page of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from airflow_provider_yandex_vision.emulator.copies import (
    CopyIndex,
    Fingerprint,
    TooManyPixelsError,
    UndecodableError,
    fingerprint,
)
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.models import domain_of

IMAGE_SUFFIXES = frozenset({".gif", ".jpeg", ".jpg", ".png", ".webp"})
SIDECAR_FIELDS = {"pageUrl": "page_url", "title": "title", "description": "description"}


@dataclass(frozen=True, slots=True)
class Page:
    """A web page that shows an image."""

    domain: str
    image_url: str
    page_url: str
    title: str
    description: str = ""

    def to_json(self) -> dict[str, str]:
        """An element of ``topResults``, without empty strings, as in protobuf's JSON."""
        fields = {
            "imageUrl": self.image_url,
            "pageUrl": self.page_url,
            "title": self.title,
            "description": self.description,
        }
        return {name: text for name, text in fields.items() if text}


def index_pages(folder: Path) -> CopyIndex[Page]:
    """Hash every image below a folder.

    ``<image>.json`` next to an image, such as ``cat.jpg.json``, may describe its page: an object with any of
    ``pageUrl``, ``title`` and ``description``. The default title is the file name of the image.

    :raises ConfigurationError: the folder has no images, one is broken or outside any site's folder, or a JSON file is
        invalid.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not files:
        state = "has no images below it" if folder.is_dir() else "is not a folder"
        raise ConfigurationError(f"{folder} {state}: images go to <site domain>/<path>/<image>")
    return CopyIndex((_describe(folder, file), _fingerprint(file, file)) for file in files)


def index_images(pages: Mapping[str, bytes | Path]) -> CopyIndex[Page]:
    """Hash images by the URLs of the pages that show them.

    :raises ConfigurationError: a file is missing, or an image cannot be decoded.
    """
    return CopyIndex((_page(url), _fingerprint(image, url)) for url, image in pages.items())


def _page(url: str) -> Page:
    return Page(domain=domain_of(url), image_url=f"{url.rstrip('/')}/image", page_url=url, title=url)


def _describe(folder: Path, image: Path) -> Page:
    domain, *inner = image.relative_to(folder).parts
    if not inner:
        raise ConfigurationError(f"{image} belongs to no site: move it into a folder named after the domain")
    page = Page(
        domain=domain,
        image_url=f"https://{domain}/{quote('/'.join(inner))}",
        page_url=f"https://{domain}/{quote('/'.join(inner[:-1]))}",
        title=image.stem.replace("-", " ").replace("_", " "),
    )
    sidecar = image.with_name(f"{image.name}.json")
    return replace(page, **_read_sidecar(sidecar)) if sidecar.exists() else page


def _read_sidecar(file: Path) -> dict[str, str]:
    try:
        fields = json.loads(file.read_bytes())
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from error
    if not isinstance(fields, dict) or not all(isinstance(text, str) for text in fields.values()):
        raise ConfigurationError(f"{file} must be an object of strings")
    if unknown := sorted(fields.keys() - SIDECAR_FIELDS):
        raise ConfigurationError(f"{file} has unknown fields {unknown}: use {', '.join(SIDECAR_FIELDS)}")
    return {SIDECAR_FIELDS[name]: text for name, text in fields.items()}


def _fingerprint(image: bytes | Path, name: object) -> Fingerprint:
    try:
        return fingerprint(image if isinstance(image, bytes) else image.read_bytes())
    except (UndecodableError, TooManyPixelsError) as error:
        raise ConfigurationError(f"{name} cannot be decoded ({error}): repair or remove it") from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"{name}: there is no file {error.filename}") from None
