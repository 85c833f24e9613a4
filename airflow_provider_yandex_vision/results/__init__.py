"""Results in two SQL tables, which also remember what has been searched."""

from __future__ import annotations

from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable, SearchedImage

__all__ = ["DueImages", "ResultTable", "SearchedImage", "TaskKey"]
