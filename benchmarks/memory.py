"""Memory and CPU per image do not grow with the number of images."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers import ours
from benchmarks.processes import Usage, alone, measured, service
from benchmarks.report import AtMost, comparison, show
from benchmarks.service import Behaviour

IMAGE_BYTES = 2_000
LATENCY = 0.005


def report(few: int, many: int) -> None:
    with service(Behaviour(LATENCY)) as served:

        def run(images: int) -> Usage:
            return alone(measured, ours, served.host, images, IMAGE_BYTES)

        before, large, after = run(few), run(many), run(few)
    show(
        f"{many:,} distinct images of {IMAGE_BYTES // 1000} KB (ours), compared with {few:,} before and after (peer)",
        [
            _row("MiB of memory", lambda usage: usage.peak / 2**20, large, [before, after], AtMost(1.1)),
            _row("MiB of memory added by the run", lambda usage: usage.added / 2**20, large, [before, after]),
            _row("ms of CPU per image", lambda usage: usage.cpu_per_image, large, [before, after], AtMost(1.1)),
        ],
    )


def _row(
    what: str, value: Callable[[Usage], float], large: Usage, small: list[Usage], goal: AtMost | None = None
) -> list[str]:
    return comparison(what, [value(large)] * len(small), [value(usage) for usage in small], goal)
