"""A retry policy for tasks that use the service. Needs Airflow 3.3 or later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from airflow_provider_yandex_vision.compat import Context
from airflow_provider_yandex_vision.vision.errors import AccessError, ConfigurationError, ServiceError


class YandexVisionRetryPolicy(RetryPolicy):
    """Waits as long as the service asks, and fails at once if a retry cannot help.

    Pass it to the operator, or to any task that uses the hook: ``retry_policy=YandexVisionRetryPolicy()``. All other
    errors are left to the task's own ``retries`` and ``retry_delay``.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        if isinstance(exception, (ConfigurationError, AccessError)):
            return RetryDecision.fail(str(exception))
        if isinstance(exception, ServiceError) and exception.retry_after:
            return RetryDecision.retry(timedelta(seconds=exception.retry_after), "the service asked to wait this long")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> YandexVisionRetryPolicy:
        return cls()
