"""The search against a service that fails on purpose, over real sockets."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from threading import Event

import pytest

from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, CopySearchResult, VisionClient
from airflow_provider_yandex_vision.vision.errors import AccessError
from tests.support.faults import FAULTS, refuse
from tests.support.faulty_service import (
    COSTLY_FAULTS,
    PERMANENT_ERRORS,
    Exchange,
    Fault,
    FaultyService,
    burning,
    is_true,
    permanent_error,
)
from tests.support.pictures import images
from tests.support.secrets import API_KEY

TIMEOUT = 2.0
SETTINGS = Settings(
    requests_per_second=1e6,
    max_concurrent_requests=16,
    linger=0.02,
    max_attempts=12,
    max_retry_after=0.1,
    backoff=Backoff(base=0.02, cap=0.2),
)


def redirect(exchange: Exchange) -> None:
    exchange.send(b"", "Location: http://127.0.0.1:1/", status=exchange.dice.choice((301, 302, 303, 307, 308)))


FATAL_FAULTS: dict[str, Fault] = {
    "401": partial(refuse, status=401),
    "403": partial(refuse, status=403),
    "404": partial(refuse, status=404),
    "redirect": redirect,
}


def service_with(faults: Mapping[str, Fault], share: float) -> FaultyService:
    return FaultyService(faults, share=share, patience=2 * TIMEOUT)


def client_of(url: str) -> VisionClient:
    return VisionClient(ApiKey(API_KEY), host=url, timeout=TIMEOUT, connect_timeout=TIMEOUT, connections=16)


def search(service: FaultyService, count: int) -> list[CopySearchResult]:
    with burning(service) as url:
        return list(CopySearch(client_of(url), images(count), SETTINGS, random=lambda: 0.05))  # short pauses


def delivered_by(service: FaultyService, count: int) -> Counter[str]:
    """The service counts an answer just after it is sent, so perhaps a moment after the client has it."""
    deadline = time.monotonic() + 10
    while service.delivered.total() < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return service.delivered


@pytest.mark.parametrize("name", FAULTS)
def test_every_row_is_true_and_only_a_lost_reply_is_paid_twice(name: str) -> None:
    service = service_with({name: FAULTS[name]}, share=0.3)
    results = search(service, 80)
    assert service.injected[name]
    assert {result.uri: is_true(result) for result in results} == {image.uri: True for image in images(80)}
    assert delivered_by(service, 80) == Counter(result.sha256 for result in results)
    assert not service.paid_twice or name in COSTLY_FAULTS


def test_all_faults_together_cost_no_image_its_row() -> None:
    service = service_with(FAULTS, share=0.1)
    results = search(service, 1500)
    assert len({result.uri for result in results}) == len(results) == 1500
    assert all(map(is_true, results))
    assert delivered_by(service, 1500) == Counter(result.sha256 for result in results)
    assert {permanent_error(result.sha256 or "") for result in results} - {None} == set(PERMANENT_ERRORS)


@pytest.mark.parametrize("name", FATAL_FAULTS)
def test_a_fatal_fault_ends_the_search_at_once(name: str) -> None:
    service = service_with({name: FATAL_FAULTS[name]}, share=1)
    with pytest.raises(AccessError):
        search(service, 400)
    assert service.injected.total() <= SETTINGS.max_concurrent_requests


def test_retry_after_of_hours_is_cut_to_the_limit() -> None:
    waited: list[float] = []

    def wait(stopping: Event, seconds: float) -> bool:
        waited.append(seconds)
        return stopping.is_set()

    service = service_with({"hours": FAULTS["429, Retry-After of hours"]}, share=0.3)
    with burning(service) as url:
        list(CopySearch(client_of(url), images(80), SETTINGS, wait=wait, clock=lambda: sum(waited), random=lambda: 0))
    assert max(waited) == pytest.approx(SETTINGS.max_retry_after)
