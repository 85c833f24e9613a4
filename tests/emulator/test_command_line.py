from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.vision.wire import RequestBody, encode_image

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-m", "airflow_provider_yandex_vision.emulator"]
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

HANGS_AFTER = 5.0
"""Seconds. An idle machine needs a fraction of one."""


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *arguments], env=BUFFERED, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def host_of(ready: str) -> str:
    return ready.split()[2].removeprefix("http://").rstrip(",")


def refusal(*arguments: str) -> str:
    """What a start that fails prints to stderr."""
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stdout == ""
    return ended.stderr


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_prints_one_line_serves_and_stops_at_once(web: Path, stop: signal.Signals) -> None:
    with started("--pages", str(web), "--port", "0", "--api-key", "s3cret") as process:
        assert process.stdout is not None
        line = r"yandex-vision emulator: (http://127\.0\.0\.1:\d+), 3 images on 3 sites, key required\n"
        ready = re.fullmatch(line, process.stdout.readline())
        assert ready
        with urllib.request.urlopen(f"{ready[1]}/statistics") as response:
            assert response.read() == b'{"requests": {}, "images": 0, "billed": {}}'
        process.send_signal(stop)
        assert process.communicate(timeout=HANGS_AFTER) == ("", "")
        assert process.returncode == 0


def test_stops_cleanly_during_searches(web: Path, rocket: bytes) -> None:
    body = RequestBody([encode_image(rocket, "image/jpeg")] * 8)
    with started("--pages", str(web), "--port=0") as process, ExitStack() as connections:
        assert process.stdout is not None
        address = host_of(process.stdout.readline())
        for _ in range(4):
            connection = http.client.HTTPConnection(address)
            connections.callback(connection.close)
            connection.request("POST", "/vision/v1/batchAnalyze", b"".join(body))
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=HANGS_AFTER) == ("", "")
        assert process.returncode == 0


def test_options_take_effect(web: Path, rocket: bytes) -> None:
    search = b"".join(RequestBody([encode_image(rocket, "image/jpeg")]))
    with started("--pages", str(web), "--port=0", "--latency-ms=200", "--requests-per-second=0.1") as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.endswith(", no key required\n")
        connection = http.client.HTTPConnection(host_of(ready), timeout=60)
        started_at = time.monotonic()
        for status in (200, 429):
            connection.request("POST", "/vision/v1/batchAnalyze", search)
            response = connection.getresponse()
            assert response.read()
            assert response.status == status
        assert time.monotonic() - started_at > 0.2
        connection.close()


def test_missing_folder_is_a_one_line_error(tmp_path: Path) -> None:
    assert refusal("--pages", str(tmp_path / "none")) == (
        f"yandex-vision emulator: {tmp_path}/none is not a folder: images go to <site domain>/<path>/<image>\n"
    )


def test_port_in_use_is_a_one_line_error(web: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        printed = refusal("--pages", str(web), "--port", str(port))
    assert printed == f"yandex-vision emulator: 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize("module", ["imagehash", "PIL"])
def test_missing_extra_is_a_one_line_error(web: Path, module: str) -> None:
    without = f"import runpy, sys; sys.modules[{module!r}] = None; sys.argv[1:] = ['--pages', {str(web)!r}]; "
    run = f"runpy.run_module('{COMMAND[-1]}', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", without + run], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"yandex-vision emulator: {module} is missing: pip install 'airflow-provider-yandex-vision[emulator]'\n"
    )


@pytest.mark.parametrize("argument", ["--port=65536", "--latency-ms=-1", "--requests-per-second=nan"])
def test_option_out_of_range_is_an_error(web: Path, argument: str) -> None:
    assert f"argument {argument.partition('=')[0]}: invalid" in refusal("--pages", str(web), argument)
