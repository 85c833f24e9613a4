"""Run every file of ``tests/corpus/<target>`` through its target in :mod:`fuzz.targets`, as ``make fuzz`` does."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*/*"))
MAX_FILE_BYTES = 5_000


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(CORPUS)) for path in FILES])
def test_known_input_is_handled(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_target_has_enough_seeds(target: str) -> None:
    assert len(list((CORPUS / target).iterdir())) >= 10


def test_corpus_stays_small() -> None:
    assert [path for path in FILES if path.stat().st_size > MAX_FILE_BYTES] == []
