"""The service and every client run in separate processes, so that CPU time and memory can be told apart."""

from __future__ import annotations

import json
import multiprocessing
import os
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar
from unittest.mock import patch
from urllib.request import urlopen

import trustme

from benchmarks.service import Behaviour, Statistics, serve

SPAWN = multiprocessing.get_context("spawn")
CA_VARIABLE = "REQUESTS_CA_BUNDLE"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Usage:
    """Resources that a run took.

    :param images: that were answered.
    :param cpu_seconds: of this process, user and system.
    :param peak: greatest resident memory, in bytes.
    :param added: bytes of it that were not there before the run.
    """

    images: int
    seconds: float
    cpu_seconds: float
    peak: int
    added: int

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds

    @property
    def cpu_per_image(self) -> float:
        """In milliseconds."""
        return self.cpu_seconds / self.images * 1000


def measured(run: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> Usage:
    """
    :param run: returns the number of images that were answered.
    """
    memory, cpu, started = _memory("VmRSS"), time.process_time(), time.perf_counter()
    images = run(*args, **kwargs)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = _memory("VmHWM")
    return Usage(images, seconds, cpu, peak, peak - memory)


def alone(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``work`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        return pool.submit(work, *args, **kwargs).result()


class Served:
    """A running service."""

    def __init__(self, host: str) -> None:
        self.host = host

    def statistics(self) -> Statistics:
        with urlopen(f"{self.host}/statistics") as reply:
            return Statistics(**json.load(reply))


@contextmanager
def service(behaviour: Behaviour) -> Iterator[Served]:
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=serve, args=(behaviour, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield Served(f"{'https' if behaviour.certificate else 'http'}://127.0.0.1:{receiver.recv()}")
    finally:
        process.terminate()
        process.join()


@contextmanager
def tls_service(behaviour: Behaviour) -> Iterator[Served]:
    """A service over TLS, trusted by processes that are started within the block."""
    ca = trustme.CA()
    with TemporaryDirectory() as folder:
        certificate, authority = Path(folder, "service.pem"), Path(folder, "ca.pem")
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        ca.cert_pem.write_to_path(authority)
        with (
            patch.dict(os.environ, {CA_VARIABLE: str(authority)}),
            service(replace(behaviour, certificate=str(certificate))) as served,
        ):
            yield served


def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get(CA_VARIABLE))


def _memory(field: str) -> int:
    """In bytes, as reported by Linux. Not ``ru_maxrss``: a process inherits that from its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
