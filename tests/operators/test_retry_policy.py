from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest

from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    ThrottledError,
    UnavailableError,
)

retry_policy = pytest.importorskip(
    "airflow.sdk.definitions.retry_policy", reason="retry_policy= came with Airflow 3.3", exc_type=ImportError
)
ours = import_module("airflow_provider_yandex_vision.operators.retry_policy")

RetryAction = retry_policy.RetryAction


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (ThrottledError("slow down", retry_after=90), RetryAction.RETRY, timedelta(seconds=90)),
        (ThrottledError("slow down"), RetryAction.DEFAULT, None),
        (UnavailableError("busy", retry_after=30), RetryAction.RETRY, timedelta(seconds=30)),
        (AuthenticationError("wrong key"), RetryAction.FAIL, None),
        (ConfigurationError("no such table"), RetryAction.FAIL, None),
        (OSError("disk full"), RetryAction.DEFAULT, None),
    ],
)
def test_policy_obeys_retry_after_and_skips_useless_retries(
    error: Exception, action: object, delay: timedelta | None
) -> None:
    decision = ours.YandexVisionRetryPolicy().evaluate(error, 1, 3)
    assert (decision.action, decision.retry_delay) == (action, delay)


def test_policy_survives_serialization() -> None:
    policy = ours.YandexVisionRetryPolicy()
    assert isinstance(type(policy).deserialize(policy.serialize()), type(policy))
