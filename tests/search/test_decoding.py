from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_yandex_vision.search import decoding
from airflow_provider_yandex_vision.search.decoding import PixelBudget, require_pillow
from airflow_provider_yandex_vision.vision.errors import ConfigurationError


def test_missing_pillow_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require_pillow("it")
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"it needs Pillow: .*airflow-provider-yandex-vision\[pillow\]"):
        require_pillow("it")


def test_image_over_the_budget_is_decoded_alone() -> None:
    budget, done = PixelBudget(10), threading.Event()

    def decode_small() -> None:
        with budget.reserved(1):
            done.set()

    with ThreadPoolExecutor(1) as other:
        with budget.reserved(100):
            other.submit(decode_small)
            assert not done.wait(0.05)
        assert done.wait(5)
