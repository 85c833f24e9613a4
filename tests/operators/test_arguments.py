"""An argument of a wrong type is one sentence, before anything is listed or opened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import AirflowFailException
from airflow_provider_yandex_vision.operators.parameters import Parameters
from airflow_provider_yandex_vision.search.ledger import Share
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from tests.operators.conftest import search

TABLE = {"table": "copies", "sql_conn_id": "results_db"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("recheck_after", 7, "a timedelta such as timedelta(days=30) or None, not 7"),
        ("recheck_after", "7 days", "a timedelta such as timedelta(days=30) or None, not '7 days'"),
        ("max_images", 30.5, "a whole number or None, not 30.5"),
        ("max_images", True, "a whole number or None, not True"),
        ("table", 5, "text or None, not 5"),
        ("sql_conn_id", ["db"], "text or None, not ['db']"),
        ("create_table", "False", "True or False, not 'False'"),
        ("plan_only", "False", "True or False, not 'False'"),
        ("plan_only", None, "True or False, not None"),
        ("convert_images", 1, "True or False, not 1"),
        ("shard", 1.5, "a whole number or text, not 1.5"),
        ("shards", None, "a whole number or text, not None"),
        ("max_failed_share", "0.1", "a number, not '0.1'"),
        ("requests_per_second", "10", "a number, not '10'"),
        ("requests_per_second", True, "a number, not True"),
        ("max_concurrent_requests", 8.0, "a whole number, not 8.0"),
        ("max_image_bytes", "7MB", "a whole number, not '7MB'"),
        ("max_request_bytes", None, "a whole number, not None"),
        ("max_xcom_images", timedelta(1), "a whole number, not datetime.timedelta(days=1)"),
        ("yandex_vision_conn_id", None, "text, not None"),
        ("object_storage_conn_id", 5, "text or None, not 5"),
    ],
)
def test_wrong_type_is_named_with_the_right_one(name: str, value: object, expected: str) -> None:
    arguments: dict[str, Any] = {**TABLE, name: value}
    with pytest.raises(AirflowFailException) as caught:
        search("s3://nowhere@bucket/", **arguments)
    assert str(caught.value) == f"{name} must be {expected}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_image_bytes", 0),
        ("max_request_bytes", -1),
        ("max_xcom_images", 0),
        ("max_failed_share", 1.5),
        ("max_failed_share", float("nan")),
    ],
)
def test_value_that_makes_no_sense_is_named(name: str, value: object) -> None:
    arguments: Any = {name: value}
    with pytest.raises(ConfigurationError, match=f"^{name} must be .*{value}$"):
        Parameters(images="x", **arguments)


def test_huge_value_is_not_quoted_whole() -> None:
    table: Any = "x" * 10_000
    with pytest.raises(ConfigurationError) as caught:
        Parameters(images="x", table=[table], sql_conn_id="db")  # type: ignore[arg-type]
    assert len(str(caught.value)) < 100


def test_whole_number_is_a_number_and_text_a_shard() -> None:
    parameters = Parameters(images="x", requests_per_second=5, shard="1", shards="2")
    assert parameters.settings.requests_per_second == 5
    assert parameters.share == Share(1, 2)
