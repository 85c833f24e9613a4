"""The examples in the README run as they stand there."""

from __future__ import annotations

import ast
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from airflow_provider_yandex_vision.images.urls import urls_of
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.results.upsert import check_supported
from airflow_provider_yandex_vision.vision.errors import TableError
from tests.operators.conftest import Query, search

README = (Path(__file__).parents[2] / "README.md").read_text()


PYPROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text()
CONNECTION = (Path(__file__).parents[2] / "docs" / "connection.md").read_text()
CONSTRAINTS = Path(__file__).parents[2] / "constraints"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def recipes() -> dict[str, str]:
    """The SQL of the README, by its comments."""
    (sql,) = blocks("sql")
    return dict(re.findall(r"-- ([^\n:]+)[^\n]*\n(.*?);", sql, re.DOTALL))


def table(heading: str) -> list[list[str]]:
    """Cells of the table with this first heading."""
    (rows,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]


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
    from airflow_provider_yandex_vision.compat import DAG

    names = {"YandexVisionCopySearchOperator": YandexVisionCopySearchOperator, "timedelta": timedelta}
    for block in blocks("python")[1:3]:
        with DAG("shown", schedule=None):
            exec(block, names)


def test_hook_works_as_shown(emulator: Service, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python")[3], {"content": (pictures / "cat.jpg").read_bytes()})
    assert "found 2 ['https://" in capsys.readouterr().out


def test_nothing_is_lost_on_a_package_index() -> None:
    targets = re.findall(r"\]\(([^)]*)\)", README)
    assert [target for target in targets if not target.startswith("https://")] == []
    assert "<img" not in README


def test_table_of_extras_is_complete() -> None:
    (declared,) = re.findall(r"\[project\.optional-dependencies\]\n(.*?)\n\[", PYPROJECT, re.DOTALL)
    names = set(re.findall(r"^(\w+) = ", declared, re.MULTILINE))
    assert {row[0].strip("` ") for row in table("extra")} == names - {"dev", "lint"}


def test_releases_are_those_of_the_pins() -> None:
    for airflow, python, _ in table("Airflow"):
        pins = CONSTRAINTS / f"airflow-{airflow.rpartition('.')[0]}.txt"
        assert f"apache-airflow=={airflow}\n" in pins.read_text()
        assert f"Programming Language :: Python :: {python}" in PYPROJECT


def test_pip_keeps_airflow_and_uses_its_constraints() -> None:
    (command,) = re.findall(r"^pip install .*\\\n.*$", README, re.MULTILINE)
    release, constraints = re.findall(r"'apache-airflow==([\d.]+)'.*constraints-([\d.]+)/", command, re.DOTALL)[0]
    assert release == constraints


def test_images_are_given_as_shown() -> None:
    shown = [ast.literal_eval(row[0].strip("` ")) for row in table("`images`")]
    assert all(urls_of(images) for images in shown)


def test_every_field_of_the_connection_is_explained() -> None:
    (connection,) = get_provider_info()["connection-types"]
    fields = " ".join(
        field for cells in (table("credentials"), table("other fields")) for row in cells for field in row
    )
    assert [name for name in connection["conn-fields"] if f"`{name}`" not in fields] == []


def test_connections_shown_have_only_fields_that_exist() -> None:
    (connection,) = get_provider_info()["connection-types"]
    shown = [json.loads(text) for text in re.findall(r'\{"conn_type".*\}', README + CONNECTION)]
    assert len(shown) >= 7
    assert {name for fields in shown for name in fields} == {"conn_type", "password", "extra"}
    assert {name for fields in shown for name in fields.get("extra", {})} <= set(connection["conn-fields"])


def test_databases_are_those_that_are_not_refused() -> None:
    (named,) = re.findall(r"They need (.*); a connection to another database", README)
    with pytest.raises(TableError, match=re.escape(f"is not supported: use {named}")):
        check_supported("snowflake")
