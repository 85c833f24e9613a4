"""Results in two SQL tables, which are also the memory of what was searched already."""

from __future__ import annotations

from airflow_provider_yandex_vision.sinks.results import ResultTable, SearchedImage
from airflow_provider_yandex_vision.sinks.rows import Run
from airflow_provider_yandex_vision.sinks.selection import Selection

__all__ = ["ResultTable", "Run", "SearchedImage", "Selection"]
