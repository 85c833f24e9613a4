"""Every file of ``tests/corpus/<target>`` goes through its target of :mod:`fuzz.targets`, as ``make fuzz`` does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*/*"))
MAX_FILE_BYTES = 5_000


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(CORPUS)) for path in FILES])
def test_what_once_came_in_keeps_every_promise(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_has_seeds_to_start_from(target: str) -> None:
    assert len(list((CORPUS / target).iterdir())) >= 10


def test_the_corpus_stays_small() -> None:
    assert [path for path in FILES if path.stat().st_size > MAX_FILE_BYTES] == []
