"""``python -m airflow_provider_yandex_vision.emulator --pages DIR``: run the emulator until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from airflow_provider_yandex_vision.emulator.pages import index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

PROGRAM = "yandex-vision emulator"
EXTRA = "airflow-provider-yandex-vision[emulator]"
STOPS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Serve until SIGTERM or Ctrl-C.

    :return: the exit status: 2 if the emulator cannot start. A signal exits with 0.
    """
    for stop in STOPS:
        # Not sys.exit: SciPy's C++ code aborts if the interpreter shuts down during a search.
        signal.signal(stop, lambda *_: os._exit(0))
    options = _parse_options()
    try:
        _serve(options)
    except ConfigurationError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        return _refuse(f"{error.name} is missing: pip install '{EXTRA}'")
    except OSError as error:
        return _refuse(f"{error.filename or f'{options.host}:{options.port}'}: {error.strerror}")
    return 0


def _serve(options: argparse.Namespace) -> None:
    service = Service(
        index_pages(options.pages),
        api_key=options.api_key,
        requests_per_second=options.requests_per_second,
        latency=options.latency_ms / 1000,
    )
    pages = service.index.items
    sites = len({page.domain for page in pages})
    key = "key required" if options.api_key else "no key required"
    # Blocked before sigwait: a signal that arrives in between would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    with running(service, options.host, options.port) as url:
        print(f"{PROGRAM}: {url}, {len(pages)} images on {sites} sites, {key}", flush=True)
        signal.sigwait(STOPS)
        os._exit(0)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_yandex_vision.emulator",
        description="Answer Yandex Vision's image copy search locally. For development, demos and tests.",
    )
    parser.add_argument(
        "--pages", type=Path, required=True, metavar="DIR", help="the web, as <site domain>/<path>/<image>"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port, default=8085, help="0 picks a free port")
    parser.add_argument("--api-key", metavar="KEY", help="accept only this key")
    parser.add_argument("--latency-ms", type=number, default=0.0, metavar="N", help="delay of every search")
    parser.add_argument("--requests-per-second", type=number, metavar="N", help="answer 429 above it; 0: no limit")
    return parser.parse_args()


def port(text: str) -> int:
    """Type of an option; argparse puts its name into the error: "invalid port value"."""
    value = int(text)
    if value not in range(65536):
        raise ValueError(text)
    return value


def number(text: str) -> float:
    """Type of an option: finite, and not negative."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _refuse(reason: str) -> int:
    print(f"{PROGRAM}: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
