"""Clients that search the same images: the package, and what one would write without it.

Each takes the service's URL, the number of images and their size, and returns how many were answered.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import pybase64
import requests
from requests.adapters import HTTPAdapter

import airflow_provider_yandex_vision.vision.transport  # noqa: F401 - the same
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, Image, VisionClient
from benchmarks.pictures import picture
from benchmarks.processes import tls_context

PATH = "/vision/v1/batchAnalyze"
HEADERS = {"Authorization": "Api-Key benchmark", "Content-Type": "application/json"}
FEATURES = [{"type": "IMAGE_COPY_SEARCH"}]
PER_REQUEST = 8
WINDOW = 16
UNPACED = 1e6


def ours(host: str, images: int, size: int) -> int:
    """The package, which also checks and hashes images and finds duplicates."""
    listed = (Image(f"s3://bucket/{n}.jpg", lambda n=n: picture(n, size), size, str(n)) for n in range(images))  # type: ignore[misc]
    settings = Settings(requests_per_second=UNPACED, max_concurrent_requests=WINDOW)
    search = CopySearch(VisionClient(ApiKey("benchmark"), host=host, connections=WINDOW), listed, settings)
    return sum(result.status == "found" for results in search.batches() for result in results)


def naive(host: str, images: int, size: int) -> int:
    """A loop over ``requests.post``, one image per request."""
    answered = 0
    for number in range(images):
        reply = requests.post(host + PATH, json=_message(number, 1, size), headers=HEADERS, timeout=60)
        answered += _answers(reply)
    return answered


def session(host: str, images: int, size: int) -> int:
    """``requests`` used well: kept-alive connections, threads, 8 images per request."""
    with requests.Session() as http, ThreadPoolExecutor(WINDOW) as pool:
        http.mount(host, HTTPAdapter(pool_maxsize=WINDOW))

        def send(first: int) -> int:
            message = _message(first, min(PER_REQUEST, images - first), size)
            return _answers(http.post(host + PATH, json=message, headers=HEADERS, timeout=60))

        return sum(pool.map(send, range(0, images, PER_REQUEST)))


def limit(host: str, images: int, size: int) -> int:
    """The fastest that Python can be: the standard library's HTTP, bodies in parts, fast base64."""
    turns = iter(range(0, images, PER_REQUEST))

    def work(_: int) -> int:
        connection, answered = _connection(host), 0
        for first in turns:
            parts = list(_parts(first, min(PER_REQUEST, images - first), size))
            connection.request("POST", PATH, parts, {**HEADERS, "Content-Length": str(sum(map(len, parts)))})
            reply = connection.getresponse()
            assert reply.status == 200, reply.status
            answered += len(json.loads(reply.read())["results"])
        connection.close()
        return answered

    with ThreadPoolExecutor(WINDOW) as pool:
        return sum(pool.map(work, range(WINDOW)))


def _message(first: int, count: int, size: int) -> dict[str, Any]:
    contents = (b64encode(picture(number, size)).decode() for number in range(first, first + count))
    specs = [{"features": FEATURES, "mimeType": "image/jpeg", "content": content} for content in contents]
    return {"analyzeSpecs": specs}


def _answers(reply: requests.Response) -> int:
    reply.raise_for_status()
    return len(reply.json()["results"])


def _parts(first: int, count: int, size: int) -> Iterator[bytes]:
    head = b'{"features":[{"type":"IMAGE_COPY_SEARCH"}],"mimeType":"image/jpeg","content":"'
    yield b'{"analyzeSpecs":['
    for number in range(first, first + count):
        yield head if number == first else b"," + head
        yield pybase64.b64encode(picture(number, size))
        yield b'"}'
    yield b"]}"


def _connection(host: str) -> HTTPConnection:
    url = urlsplit(host)
    if url.scheme == "https":
        return HTTPSConnection(url.netloc, timeout=60, context=tls_context())
    return HTTPConnection(url.netloc, timeout=60)
