"""Yandex Vision image copy search for Apache Airflow."""

__version__ = "0.1.0"
