"""Tables in plain text: figures of ours and of a peer, their ratio, the goal and whether it was met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

HEADINGS = ("figure", "ours", "peer", "ratio (each round)", "goal", "")


@dataclass(frozen=True)
class AtLeast:
    bound: float

    def met(self, value: float) -> bool:
        return value >= self.bound

    def __str__(self) -> str:
        return f">= {self.bound:g}"


@dataclass(frozen=True)
class AtMost:
    bound: float

    def met(self, value: float) -> bool:
        return value <= self.bound

    def __str__(self) -> str:
        return f"<= {self.bound:g}"


Goal: TypeAlias = AtLeast | AtMost


def figure(what: str, value: float, goal: Goal | None = None, *, digits: int = 1) -> list[str]:
    """A row without a peer."""
    return [what, f"{value:,.{digits}f}", "", "", *_judged(value, goal)]


def comparison(what: str, ours: Sequence[float], peer: Sequence[float], goal: Goal | None = None) -> list[str]:
    """A row with the medians of all rounds. The goal applies to the median of the ratios of each round."""
    ratios = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
    ratio = statistics.median(ratios)
    each = f" ({' '.join(f'{value:.2f}' for value in ratios)})" if len(ratios) > 1 else ""
    return [what, _median(ours), _median(peer), f"{ratio:.2f}x{each}", *_judged(ratio, goal)]


def show(title: str, rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}")
    table = [HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip(), flush=True)


def _judged(value: float, goal: Goal | None) -> tuple[str, str]:
    return ("", "") if goal is None else (str(goal), "ok" if goal.met(value) else "MISSED")


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.{2 if max(values) < 10 else 0}f}"
