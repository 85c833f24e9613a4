"""A folder that plays the web: ``<site domain>/<path>/<picture>``, each picture shown on the page of its folder."""

from __future__ import annotations

import json
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
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, NoImagesError

PICTURE_SUFFIXES = frozenset({".gif", ".jpeg", ".jpg", ".png", ".webp"})
SIDECAR_FIELDS = {"pageUrl": "page_url", "title": "title", "description": "description"}


@dataclass(frozen=True, slots=True)
class Page:
    """A web page that shows a picture."""

    domain: str
    image_url: str
    page_url: str
    title: str
    description: str = ""

    def to_json(self) -> dict[str, str]:
        """The page as one of ``topResults``; empty texts are left out, as protobuf's JSON does."""
        fields = {
            "imageUrl": self.image_url,
            "pageUrl": self.page_url,
            "title": self.title,
            "description": self.description,
        }
        return {name: text for name, text in fields.items() if text}


def index_pages(folder: Path) -> CopyIndex[Page]:
    """Hash every picture below a folder.

    A picture's page can be described by ``<picture>.json`` next to it, such as ``cat.jpg.json``: an object
    with any of ``pageUrl``, ``title`` and ``description``. Without, the title is the picture's file name.

    :raises NoImagesError: the folder is missing, or has no pictures.
    :raises ConfigurationError: a picture lies in no site's folder or is broken, or its description is.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not files:
        state = "has no pictures below it" if folder.is_dir() else "is not a folder"
        raise NoImagesError(f"{folder} {state}: give one with pictures at <site domain>/<path>/<picture>")
    return CopyIndex((_describe(folder, file), _fingerprint(file)) for file in files)


def _describe(folder: Path, picture: Path) -> Page:
    domain, *inner = picture.relative_to(folder).parts
    if not inner:
        raise ConfigurationError(f"{picture} belongs to no site: move it into a folder named after the site's domain")
    page = Page(
        domain=domain,
        image_url=f"https://{domain}/{quote('/'.join(inner))}",
        page_url=f"https://{domain}/{quote('/'.join(inner[:-1]))}",
        title=picture.stem.replace("-", " ").replace("_", " "),
    )
    sidecar = picture.with_name(f"{picture.name}.json")
    return replace(page, **_read_sidecar(sidecar)) if sidecar.exists() else page


def _read_sidecar(file: Path) -> dict[str, str]:
    try:
        texts = json.loads(file.read_bytes())
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ConfigurationError(f"{file} must be an object of texts")
    if unknown := sorted(texts.keys() - SIDECAR_FIELDS):
        raise ConfigurationError(f"{file} has unknown fields {unknown}: use {', '.join(SIDECAR_FIELDS)}")
    return {SIDECAR_FIELDS[name]: text for name, text in texts.items()}


def _fingerprint(picture: Path) -> Fingerprint:
    try:
        return fingerprint(picture.read_bytes())
    except (UndecodableError, TooManyPixelsError) as error:
        raise ConfigurationError(f"{picture} cannot be decoded ({error}): mend it or remove it") from error
