from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

DATABASES = [
    ({"conn_type": "postgres", "host": "db", "schema": "shop"}, "postgres://db:5432", "shop.copies"),
    ({"conn_type": "sqlite", "host": "/data/results.db"}, "sqlite:///data/results.db", "copies"),
]


@pytest.mark.parametrize(("fields", "namespace", "name"), DATABASES)
def test_inputs_are_the_listed_prefixes_and_outputs_the_tables(
    connect: Callable[..., None], tmp_path: Path, fields: dict[str, str], namespace: str, name: str
) -> None:
    connect("results_db", **fields)
    connect("storage", conn_type="aws", login="key", password="secret")
    operator = YandexVisionCopySearchOperator(
        task_id="search",
        images=["s3://storage@bucket/catalog/*.jpg", "s3://storage@bucket/catalog/*.png", f"file://{tmp_path}/"],
        table="copies",
        sql_conn_id="results_db",
    )
    facets = operator.get_openlineage_facets_on_complete(None)
    assert [(item.namespace, item.name) for item in facets.inputs] == [
        ("s3://bucket", "catalog/"),
        ("file", str(tmp_path)),
    ]
    assert [(item.namespace, item.name) for item in facets.outputs] == [
        (namespace, name),
        (namespace, f"{name}_matches"),
    ]


def test_without_a_table_there_is_no_output(tmp_path: Path) -> None:
    operator = YandexVisionCopySearchOperator(task_id="search", images=f"file://{tmp_path}/")
    assert operator.get_openlineage_facets_on_complete(None).outputs == []
