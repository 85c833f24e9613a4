"""The search beside its peers, over a service on this machine: ``python -m benchmarks search``.

Every client run is a process of its own. What others do on the machine touches all peers of a round alike,
so it is the ratios that tell something.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from benchmarks import filling, memory, poison, quota, throughput


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    :param images: of a run beside the peers.
    :param few, many: images of the two runs whose memory is compared.
    :param files: images with duplicates and bad files among them.
    :param seconds: that a quota is used for.
    """

    rounds: int = 3
    images: int = 2_000
    few: int = 2_000
    many: int = 100_000
    files: int = 3_000
    seconds: float = 60.0


QUICK = Scale(rounds=1, images=320, few=500, many=2_000, files=800, seconds=3.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks search", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds that only show that everything runs")
    parser.add_argument("--no-quota", action="store_true", help="leave out the minute with quotas")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else Scale()
    throughput.report(scale.images, scale.rounds)
    memory.report(scale.few, scale.many)
    filling.report(scale.files)
    poison.report()
    if not arguments.no_quota:
        quota.report(scale.seconds)


if __name__ == "__main__":
    main()
