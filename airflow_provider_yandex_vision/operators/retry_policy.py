"""A retry policy for tasks that search. Needs Airflow 3.3, which is the first to have ``retry_policy``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from airflow_provider_yandex_vision.vision.errors import AccessError, ConfigurationError, ServiceError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class YandexVisionRetryPolicy(RetryPolicy):
    """Waits as long as the service asked, and spares the retries that cannot help.

    Give it to the operator, or to any task that uses the hook: ``retry_policy=YandexVisionRetryPolicy()``. The
    task's own ``retries`` and ``retry_delay`` hold for everything that the service said nothing about.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        if isinstance(exception, (ConfigurationError, AccessError)):
            return RetryDecision.fail(str(exception))
        if isinstance(exception, ServiceError) and exception.retry_after:
            return RetryDecision.retry(timedelta(seconds=exception.retry_after), "as long as the service asked to wait")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> YandexVisionRetryPolicy:
        return cls()
