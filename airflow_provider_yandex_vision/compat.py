"""What differs between Airflow 2.11 and the releases of 3.x: no other module knows.

Not all of ``common.compat``'s releases that official constraints pin have these names.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG as DAG
    from airflow.sdk import Asset as Asset
    from airflow.sdk import BaseHook as BaseHook
    from airflow.sdk import BaseOperator as BaseOperator
    from airflow.sdk import BaseOperatorLink as BaseOperatorLink
    from airflow.sdk import Connection as Connection
    from airflow.sdk import Context as Context
    from airflow.sdk import Param as Param
    from airflow.sdk import task as task
    from airflow.sdk.configuration import conf as conf
    from airflow.sdk.exceptions import AirflowException as AirflowException
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.execution_time.xcom import XCom as XCom
    from airflow.sdk.io import attach as attach
    from airflow.sdk.log import mask_secret as mask_secret
    from airflow.sdk.observability.stats import Stats as Stats

PLACES = {
    "DAG": ("airflow.sdk", "airflow.models.dag"),
    "task": ("airflow.sdk", "airflow.decorators"),
    "Asset": ("airflow.sdk", "airflow.datasets:Dataset"),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseOperator": ("airflow.sdk", "airflow.models"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "Param": ("airflow.sdk", "airflow.models.param"),
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),
    "AirflowException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowFailException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowNotFoundException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowSkipException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models.xcom"),
    "attach": ("airflow.sdk.io", "airflow.io.store"),
    "mask_secret": (
        "airflow.sdk.log",
        "airflow.sdk.execution_time.secrets_masker",
        "airflow.utils.log.secrets_masker",
    ),
    "Stats": ("airflow.sdk.observability.stats", "airflow.stats"),
}
"""Modules to look in, newest first; ``module:name`` if the name changed as well."""


def __getattr__(name: str) -> Any:
    reason: Exception | None = None
    for place in PLACES.get(name, ()):
        module, _, old_name = place.partition(":")
        try:
            return getattr(import_module(module), old_name or name)
        except (ImportError, AttributeError) as error:
            reason = error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from reason


def mask_in_logs(secret: str) -> None:
    """Mask a secret in the task's logs. Any thread may call it.

    In 3.x the supervisor of the task masks, and before 3.2 the channel to it is not safe to share between threads: a
    thread other than the main one then leaves the secret unmasked, rather than garble what the main one receives.
    """
    if threading.current_thread() is threading.main_thread() or _channel_is_shareable():
        __getattr__("mask_secret")(secret)


def _channel_is_shareable() -> bool:
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    channel = getattr(runner, "SUPERVISOR_COMMS", None)
    return channel is None or hasattr(channel, "_thread_lock")
