"""The search compared with its peers, against a service on this machine: ``python -m benchmarks search``.

Every client runs in a separate process. Other load on the machine affects all peers of a round alike, so the ratios
are what counts.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from benchmarks import filling, memory, poison, quota, throughput


@dataclass(frozen=True)
class Scale:
    """
    :param images: of each run that is compared with peers.
    :param few, many: images of the two runs whose memory is compared.
    :param files: images, duplicates and bad files together.
    :param seconds: duration of each run with a quota.
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
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds")
    parser.add_argument("--no-quota", action="store_true", help="skip the minute with quotas")
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
