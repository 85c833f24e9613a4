"""The page: one HTML file that works offline, as an attachment, without script and on paper."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from airflow_provider_yandex_vision.report.charts import bars, days
from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.languages import Language
from airflow_provider_yandex_vision.report.untrusted import plain, web_url

FOLDER = Path(__file__).parent
NUMBERS = ("pictures", "open", "new", "cases", "gone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the page says.

    :param select: which findings were selected, as the operator takes it.
    :param numbers: of the whole table, any of ``pictures``, ``open``, ``new``, ``cases`` and ``gone``.
    :param new_per_day: days with new findings, and how many.
    :param top_sites: sites with the most open findings, and how many.
    :param findings: those on the page; ``selected`` is how many there are.
    :param remote_pictures: load strangers' pictures when the page is opened, rather than on a click each.
    """

    language: Language
    table: str
    select: str
    made_at: datetime
    numbers: Mapping[str, int]
    new_per_day: Iterable[tuple[date, int]]
    top_sites: Sequence[tuple[str, int]]
    findings: Sequence[Finding]
    selected: int
    remote_pictures: bool

    def write(self, file: IO[bytes], thumbnail: Callable[[Finding], str | None]) -> None:
        """
        :param thumbnail: a ``data:`` URL of the owner's picture, if there is one.
        """
        per_day = days(self.new_per_day, self.made_at.date())
        style, script = _source("page.css"), _source("page.js")
        parts = {
            "page": self,
            "language": self.language,
            "say": self.language.say,
            "numbers": [(name, self.numbers[name]) for name in NUMBERS if name in self.numbers],
            "days": per_day,
            "new_in_days": sum(bar.count for bar in per_day),
            "peak": max(bar.count for bar in per_day),
            "top_sites": bars(self.top_sites),
            "sites": by_site(self.findings),
            "thumbnail": thumbnail,
            "style": style,
            "script": script,
            "policy": policy(style, script),
        }
        _environment().get_template("page.html").stream(parts).dump(file, "utf-8", errors="replace")


def by_site(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """New ones first; the site with the newest finding comes first."""
    sites: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: (finding.first_seen_at, -finding.rank), reverse=True):
        sites.setdefault(finding.site, []).append(finding)
    return sites


def policy(style: str, script: str) -> str:
    """Content Security Policy: this style, this script, and pictures, which the script loads on a click."""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "img-src data: https: http:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _source(name: str) -> Markup:
    """A file of this package, which goes into the page as it is."""
    return Markup(f"\n{(FOLDER / name).read_text(encoding='utf-8')}")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(plain=plain, web_url=web_url)
    return environment
