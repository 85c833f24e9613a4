from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.operators.conftest import IN_TABLE, operator

DATABASES = [
    ({"conn_type": "postgres", "host": "db", "schema": "shop"}, "postgres://db:5432", "shop.copies"),
    ({"conn_type": "sqlite", "host": "/data/results.db"}, "sqlite:///data/results.db", "copies"),
]


@pytest.mark.parametrize(("fields", "namespace", "name"), DATABASES)
def test_inputs_are_listed_prefixes_and_outputs_are_tables(
    connect: Callable[..., None], tmp_path: Path, fields: dict[str, str], namespace: str, name: str
) -> None:
    connect("results_db", **fields)
    # No other test may use this connection: Airflow caches file systems by connection id.
    connect("catalog", conn_type="aws", login="key", password="secret")
    images = ["s3://catalog@bucket/catalog/*.jpg", "s3://catalog@bucket/catalog/*.png", f"file://{tmp_path}/"]
    facets = operator(images, **IN_TABLE).get_openlineage_facets_on_complete(None)
    assert [(item.namespace, item.name) for item in facets.inputs] == [
        ("s3://bucket", "catalog/"),
        ("file", str(tmp_path)),
    ]
    assert [(item.namespace, item.name) for item in facets.outputs] == [
        (namespace, name),
        (namespace, f"{name}_matches"),
    ]


def test_run_without_table_has_no_output(tmp_path: Path) -> None:
    assert operator(tmp_path).get_openlineage_facets_on_complete(None).outputs == []
