"""``python -m airflow_provider_yandex_vision.live --spend``: a table of facts about the real service, for an issue."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from random import SystemRandom
from urllib.parse import urlsplit

from airflow_provider_yandex_vision import __version__
from airflow_provider_yandex_vision.live.checks import (
    Fact,
    check_access,
    check_large_picture,
    check_limits,
    check_small_pictures,
)
from airflow_provider_yandex_vision.live.service import LiveService
from airflow_provider_yandex_vision.vision.client import DEFAULT_HOST
from airflow_provider_yandex_vision.vision.errors import printable

KEY = "YANDEX_VISION_API_KEY"
PLAN = f"""\
This asks the real service with the API key in {KEY}: 6 requests, of which at most 3 images are billed.

- 4 requests that it is to refuse, at no cost: no image, a wrong key, too many images, an image that is too large
- a small picture of noise, a text, and the picture of --published: at most 2 billed
- a large picture of noise: at most 1 billed

Nothing was sent. Add --spend to go on."""


def main() -> int:
    """:return: 0 if the facts were printed, 1 if the service does not accept the key, 2 if nothing was sent."""
    options = _parse_options()
    api_key = os.environ.get(KEY, "")
    if not options.spend:
        print(PLAN)
        return 2
    if not api_key:
        return _refuse(f"the environment variable {KEY} is not set")
    url = urlsplit(options.host)
    if url.scheme != "https" and url.hostname != "127.0.0.1":
        return _refuse(f"{options.host} does not use https: the key would be sent unencrypted")
    try:
        published = options.published.read_bytes() if options.published else None
    except OSError as error:
        return _refuse(f"{options.published}: {error.strerror}")
    service = LiveService(options.host, api_key)
    access, accepted = check_access(service)
    facts = [access, *(_ask_on(service, published) if accepted else ())]
    print(f"airflow-provider-yandex-vision {__version__}, {options.host}, {date.today()}\n")
    print(_table(facts))
    print(f"\n{service.billed} images billed")
    return 0 if accepted else 1


def _ask_on(service: LiveService, published: bytes | None) -> Iterator[Fact]:
    random = SystemRandom()
    yield from check_limits(service)
    yield from check_small_pictures(service, random, published)
    yield from check_large_picture(service, random)


def _table(facts: Iterable[Fact]) -> str:
    """Markdown."""
    holds = {True: "yes", False: "**no**", None: ""}
    rows = [("fact", "documented", "seen", "holds"), ("---",) * 4]
    rows += [(fact.name, fact.expected, fact.seen, holds[fact.holds]) for fact in facts]
    cells = ((printable(cell).replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_yandex_vision.live",
        description="Ask the real service which of the documented facts hold, and print them as a table.",
    )
    parser.add_argument("--spend", action="store_true", help="send the requests; at most 3 images are billed")
    parser.add_argument(
        "--published", type=Path, metavar="FILE", help="a JPEG or PNG that surely has copies on the web, below 1 MB"
    )
    parser.add_argument("--host", default=DEFAULT_HOST, help="another base URL, such as the emulator's")
    return parser.parse_args()


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
