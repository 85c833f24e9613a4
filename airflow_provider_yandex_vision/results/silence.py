"""Tells a service that finds nothing any more from images that have no copies any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from airflow_provider_yandex_vision.results.table import SearchedImage
from airflow_provider_yandex_vision.vision.errors import COPY_SEARCH_OFF, CopySearchOffError
from airflow_provider_yandex_vision.vision.models import CopySearchResult

MIN_IMAGES = 50
MIN_SHARE_WITHOUT_COPIES = 0.95


class Silence:
    """Holds back results without copies of images that had some, until it is clear that the service still finds some.

    Each content counts once. It is clear as soon as more than 1 in 20 of those searched since the last time still has
    copies. So no more than 50 contents are held back.

    :param lookup: what the table knows about images, by URI.
    """

    def __init__(self, lookup: Callable[[Sequence[str]], Mapping[str, SearchedImage]]) -> None:
        self._lookup = lookup
        self._held: list[CopySearchResult] = []
        self._silent: set[str | None] = set()
        self._found: set[str | None] = set()

    def admit(self, results: Sequence[CopySearchResult]) -> list[CopySearchResult]:
        """:return: the results that may be stored: of these, and of those held back."""
        had_copies = self._with_copies(result.uri for result in results if result.status in ("found", "none"))
        admitted: list[CopySearchResult] = []
        for result in results:
            if result.uri not in had_copies:
                admitted.append(result)
            elif result.status == "none":
                self._held.append(result)
                self._silent.add(result.sha256)
            else:
                admitted.append(result)
                self._found.add(result.sha256)
                if len(self._silent) < MIN_SHARE_WITHOUT_COPIES * self._searched:
                    admitted += self._take_held()
        return admitted

    def check(self) -> None:
        """:raises CopySearchOffError: hardly any image still has copies; what is held back is not to be stored."""
        if self._searched >= MIN_IMAGES:
            raise CopySearchOffError(
                f"{COPY_SEARCH_OFF}: {len(self._silent)} of {self._searched} images that had copies have none any "
                "more; their rows are as they were"
            )

    def release(self) -> list[CopySearchResult]:
        """:return: what is held back at the end: too little to mean anything."""
        return self._take_held()

    @property
    def _searched(self) -> int:
        return len(self._silent) + len(self._found)

    def _with_copies(self, uris: Iterable[str]) -> set[str]:
        known = self._lookup(list(uris))
        return {uri for uri, image in known.items() if image.copy_count or image.match_count}

    def _take_held(self) -> list[CopySearchResult]:
        held, self._held = self._held, []
        self._silent, self._found = set(), set()
        return held
