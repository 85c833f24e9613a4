"""Images per second and CPU per image, compared with peers in the same rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.peers import PER_REQUEST, WINDOW, limit, naive, ours, session
from benchmarks.processes import Served, Usage, alone, measured, service, tls_service
from benchmarks.report import AtLeast, AtMost, comparison, figure, show
from benchmarks.service import Behaviour

IMAGE_BYTES = 200_000
LATENCY = 0.1
CEILING = WINDOW * PER_REQUEST / LATENCY
"""Images per second that the window allows if only the latency takes time."""
NAIVE_SHARE = 100
"""The naive loop, which is that much slower, gets a fraction of the images."""

Rounds = dict[Callable[[str, int, int], int], list[Usage]]


def report(images: int, rounds: int) -> None:
    what = f"images of {IMAGE_BYTES // 1000} KB, latency {LATENCY * 1000:.0f} ms, window {WINDOW}"
    with service(Behaviour(LATENCY)) as plain:
        usages = _rounds(plain, images, rounds)
    added = statistics.median(usage.added for usage in usages[ours]) / 2**20
    memory = figure("MiB of memory added by the run", added, AtMost(100))
    show(what, [*_rows(usages, AtLeast(2.3), AtMost(0.45), AtLeast(0.85)), memory])
    with tls_service(Behaviour(LATENCY)) as encrypted:
        show(f"{what}, TLS", _rows(_rounds(encrypted, images, rounds)))


def _rounds(served: Served, images: int, rounds: int) -> Rounds:
    usages: Rounds = {ours: [], session: [], limit: [], naive: []}
    for _ in range(rounds):
        for peer, results in usages.items():
            count = max(1, images // NAIVE_SHARE) if peer is naive else images
            usage = alone(measured, peer, served.host, count, IMAGE_BYTES)
            assert usage.images == count, f"{usage.images} of {count} images were answered"
            results.append(usage)
    return usages


def _rows(
    usages: Rounds, speed: AtLeast | None = None, cpu: AtMost | None = None, share_of_limit: AtLeast | None = None
) -> list[list[str]]:
    def speeds(peer: Callable[[str, int, int], int]) -> list[float]:
        return [usage.images_per_second for usage in usages[peer]]

    def cpus(peer: Callable[[str, int, int], int]) -> list[float]:
        return [usage.cpu_per_image for usage in usages[peer]]

    return [
        comparison("images/s, compared with what the window allows", speeds(ours), [CEILING] * len(usages[ours])),
        comparison("images/s, compared with Session, threads, json=", speeds(ours), speeds(session), speed),
        comparison("  ms of CPU per image", cpus(ours), cpus(session), cpu),
        comparison("images/s, compared with bare http.client", speeds(ours), speeds(limit), share_of_limit),
        comparison("  ms of CPU per image", cpus(ours), cpus(limit)),
        comparison("images/s, compared with a loop of requests.post", speeds(ours), speeds(naive)),
    ]
