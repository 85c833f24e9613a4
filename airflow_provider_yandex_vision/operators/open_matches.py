"""Which matches are open, for results that no table keeps: those that are not on the user's own sites."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from airflow_provider_yandex_vision.operators.xcom import bounded
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult
from airflow_provider_yandex_vision.vision.sites import is_below


def open_findings(results: Iterable[CopySearchResult], own_sites: Collection[str]) -> set[tuple[str, str]]:
    """Pages with open matches, each with the content it shows."""
    return {
        (result.sha256 or result.uri, match.page_url or match.image_url)
        for result in results
        for match in result.matches
        if is_open(match, own_sites)
    }


def to_dict(result: CopySearchResult, own_sites: Collection[str]) -> dict[str, Any]:
    """As :meth:`CopySearchResult.to_dict`, bounded for XCom; each match says whether it is ``open``.

    ``open_matches`` counts those that are left out as well.
    """
    kept = bounded(result)
    plain = kept.to_dict()
    for shown, match in zip(plain["matches"], kept.matches, strict=True):
        shown["open"] = is_open(match, own_sites)
    return {**plain, "open_matches": sum(is_open(match, own_sites) for match in result.matches)}


def is_open(match: CopyMatch, own_sites: Collection[str]) -> bool:
    return not is_below(match.domain, own_sites)
