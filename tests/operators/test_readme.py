"""The examples in the README run as they stand there."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from tests.operators.conftest import Query, search

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def recipes() -> dict[str, str]:
    """The SQL of the README, by its comments."""
    (sql,) = blocks("sql")
    return dict(re.findall(r"-- ([^\n:]+)[^\n]*\n(.*?);", sql, re.DOTALL))


@pytest.fixture
def searched_twice(emulator: Service, pictures: Path, database: Query) -> Query:
    """Two nightly runs. Before the second, the image of the coffee is replaced by one without copies."""
    for night in ("night 1", "night 2"):
        search(pictures, night, table="picture_copies", sql_conn_id="results_db")
        (pictures / "coffee.jpg").write_bytes((pictures / "rocket.jpg").read_bytes())
    return database


def test_sql_answers_its_comments(searched_twice: Query) -> None:
    answers = {question: searched_twice(sql) for question, sql in recipes().items()}
    assert answers["new since last night"] == []
    assert [(Path(uri).name, page) for uri, page in answers["gone"]] == [("coffee.jpg", "https://cafe.example/")]
    assert sorted(answers["by domain"]) == [("cats.example", 2, 2), ("news.example", 2, 2)]
    assert {Path(row[0]).name for row in answers["images never searched successfully"]} == {
        "broken.jpg",
        "empty.png",
        "notes.jpg",
    }


def test_shortest_dag_is_a_dag() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    assert names["DAG"]


def test_operators_accept_the_arguments_shown() -> None:
    from airflow.providers.common.compat.sdk import DAG

    names = {"YandexVisionCopySearchOperator": YandexVisionCopySearchOperator, "timedelta": timedelta}
    for block in blocks("python")[1:3]:
        with DAG("shown", schedule=None):
            exec(block, names)


def test_hook_works_as_shown(emulator: Service, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python")[3], {"content": (pictures / "cat.jpg").read_bytes()})
    assert "found 2 ['https://" in capsys.readouterr().out
