"""Results for XCom, whose backends take little: few images, and few bytes of each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, replace

from airflow_provider_yandex_vision.vision.errors import printable
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult

log = logging.getLogger(__name__)

MAX_MATCH_BYTES = 16 * 1024
"""As JSON, of all matches of an image. A page takes about 500."""
MAX_MESSAGE_CHARACTERS = 1000


def bounded(result: CopySearchResult) -> CopySearchResult:
    """The result with the most relevant matches that fit; what is left out is logged. Counts stay as they are."""
    matches = tuple(_fitting(result.matches))
    if len(matches) < len(result.matches):
        log.warning(
            "XCom gets %d of the %d matches of %s, since all have more than %d bytes; a table gets all",
            len(matches),
            len(result.matches),
            printable(result.uri),
            MAX_MATCH_BYTES,
        )
    message = result.error_message and result.error_message[:MAX_MESSAGE_CHARACTERS]
    return replace(result, matches=matches, error_message=message)


def _fitting(matches: Iterable[CopyMatch]) -> Iterable[CopyMatch]:
    left = MAX_MATCH_BYTES
    for match in matches:
        size = len(json.dumps(asdict(match)))
        if size <= left:
            left -= size
            yield match
