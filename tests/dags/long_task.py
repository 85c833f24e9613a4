"""The long task as a DAG, with a folder of images per day."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_yandex_vision.compat import DAG
from tests.support.watched_operator import operator

with DAG("long_task", start_date=datetime(2026, 1, 1), schedule=None):
    operator("{{ ds }}")
