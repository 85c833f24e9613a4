"""Findings for tests of the report."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any

from PIL import Image as Pillow

from airflow_provider_yandex_vision.report.finding import Finding

NOW = datetime(2026, 11, 27, 6, 30, tzinfo=timezone.utc)


def finding(number: int = 1, **fields: Any) -> Finding:
    """An open finding; those with a larger number are older."""
    site = fields.get("site", "daily-news.example")
    values: dict[str, Any] = {
        "page_url": f"https://www.{site}/page/{number}",
        "domain": f"www.{site}",
        "site": site,
        "title": f"Page {number}",
        "description": f"About {number}",
        "image_url": f"https://img.{site}/{number}.jpg",
        "rank": 1,
        "image_uri": f"s3://catalog/{number}.jpg",
        "pictures": 1,
        "first_seen_at": NOW - timedelta(days=number),
        "last_seen_at": NOW,
        "current": True,
        "verdict": None,
        "note": None,
        "decided_by": None,
        "decided_at": None,
        "open": True,
    }
    values |= fields
    identity = hashlib.sha256(
        f"{values['image_uri']}\0{values['page_url']}".encode("utf-8", "surrogatepass")
    ).hexdigest()
    return Finding(finding_id=identity, **values)


def picture(width: int = 640, height: int = 480, *, kind: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    """A picture that compresses badly enough to be like a photograph."""
    noise = Pillow.effect_noise((width // 8 or 1, height // 8 or 1), 90).resize((width, height)).convert(mode)
    content = BytesIO()
    noise.save(content, kind, **options)
    return content.getvalue()
