"""What README and docs/ say is true: their examples run as they stand there, and their tables are complete."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images.urls import urls_of
from airflow_provider_yandex_vision.results.schema import Tables
from airflow_provider_yandex_vision.results.upsert import check_supported
from airflow_provider_yandex_vision.vision import errors
from airflow_provider_yandex_vision.vision.errors import TableError
from tests.operators.conftest import Query, search

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYPROJECT = (ROOT / "pyproject.toml").read_text()
CONSTRAINTS = ROOT / "constraints"
PACKAGE = ROOT / "airflow_provider_yandex_vision"


def page(name: str) -> str:
    """The text of ``docs/<name>.md``."""
    return (ROOT / "docs" / f"{name}.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}(?: title=.*)?\n(.*?)```", text, re.DOTALL)


def recipes() -> dict[str, str]:
    """The SQL of the guide, by its comments."""
    (sql,) = blocks(page("how-to/monitor"), "sql")
    return dict(re.findall(r"-- ([^\n:]+)[^\n]*\n(.*?);", sql, re.DOTALL))


def table(text: str, heading: str) -> list[list[str]]:
    """Cells of the table with this first heading."""
    (rows,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
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
    assert [(Path(uri).name, page) for uri, page in answers["gone"]] == [("coffee.jpg", "https://cafe.example/")]
    assert sorted(answers["by site"]) == [("cats.example", 2, 2), ("news.example", 2, 2)]
    assert {Path(row[0]).name for row in answers["images never searched successfully"]} == {
        "broken.jpg",
        "empty.png",
        "notes.jpg",
    }


def test_sql_about_findings_obeys_decisions(searched_twice: Query) -> None:
    insert, evidence, by_site = blocks(page("how-to/review"), "sql")
    engine = YandexVisionHook.get_hook("results_db").get_sqlalchemy_engine()
    decide = "INSERT INTO picture_copies_decisions (kind, subject, verdict) VALUES ('site', 'cats.example', 'case')"
    for statement in (insert, decide):
        with engine.begin() as connection:
            connection.exec_driver_sql(statement.rstrip(";\n"))
    engine.dispose()
    assert [site for site, _pages, _since in searched_twice(by_site)] == ["news.example"]
    [case] = searched_twice(evidence)
    assert case[0].startswith("https://cats.example/")
    assert all(case[-4:])


def test_hook_works_as_shown(emulator: Service, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(page("reference/hook"), "python")
    exec(block, {"content": (pictures / "cat.jpg").read_bytes()})
    assert "found 2 ['https://" in capsys.readouterr().out


def test_table_of_extras_is_complete() -> None:
    (declared,) = re.findall(r"\[project\.optional-dependencies\]\n(.*?)\n\[", PYPROJECT, re.DOTALL)
    names = set(re.findall(r"^(\w+) = ", declared, re.MULTILINE))
    assert {row[0].strip("` ") for row in table(page("reference/releases"), "extra")} == names - {"dev", "lint"}


def test_releases_are_those_of_the_pins() -> None:
    for airflow, python, _ in table(page("reference/releases"), "Airflow"):
        pins = CONSTRAINTS / f"airflow-{airflow.rpartition('.')[0]}.txt"
        assert re.search(rf"^apache-airflow=={re.escape(airflow)}\s", pins.read_text(), re.MULTILINE)
        assert f"Programming Language :: Python :: {python}" in PYPROJECT


@pytest.mark.parametrize("text", [README, page("get-started"), page("ru/get-started")], ids=["README", "en", "ru"])
def test_pip_keeps_airflow_and_uses_its_constraints(text: str) -> None:
    (command,) = re.findall(r"^pip install .*\\\n.*$", text, re.MULTILINE)
    release, constraints = re.findall(r"'apache-airflow==([\d.]+)'.*constraints-([\d.]+)/", command, re.DOTALL)[0]
    assert release == constraints


def test_images_are_given_as_shown() -> None:
    shown = [ast.literal_eval(row[0].strip("` ")) for row in table(page("reference/images"), "`images`")]
    assert all(urls_of(images) for images in shown)


def test_every_field_of_the_connection_is_explained() -> None:
    (connection,) = get_provider_info()["connection-types"]
    text = page("connection")
    assert [name for name in connection["conn-fields"] if f"`{name}`" not in text and f'"{name}"' not in text] == []


def test_connections_shown_have_only_fields_that_exist() -> None:
    (connection,) = get_provider_info()["connection-types"]
    pages = "".join(file.read_text() for file in (ROOT / "docs").rglob("*.md"))
    shown = [json.loads(text) for text in re.findall(r'\{"conn_type".*\}', pages)]
    assert len(shown) >= 7
    assert {name for fields in shown for name in fields} <= {"conn_type", "password", "host", "extra"}
    assert {name for fields in shown for name in fields.get("extra", {})} <= set(connection["conn-fields"])


def test_every_error_is_explained() -> None:
    names = {name for name, value in vars(errors).items() if isinstance(value, type) and name.endswith("Error")}
    bases = {"YandexVisionError", "ServiceError", "TransientError", "ImageError"}
    rows = " ".join(f"{row[0]} {row[-1]}" for row in table(page("reference/errors"), "error"))
    images = {"ImageRejectedError", "ImageUnreadableError"}
    assert [name for name in names - bases - images if f"`{name}`" not in rows] == []


def test_every_code_of_an_image_is_explained() -> None:
    trees = [ast.parse(file.read_text()) for room in ("search", "images") for file in (PACKAGE / room).glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raised = [call for call in calls if re.fullmatch("Image(Rejected|Unreadable)Error", ast.unparse(call.func))]
    values = [
        node.value
        for call in raised
        for arg in call.args[1:]
        for node in ast.walk(arg)
        if isinstance(node, ast.Constant)
    ]
    codes = {value for value in values if isinstance(value, str) and value.isupper()} | {"UNREADABLE"}
    assert len(codes) > 8
    assert codes - set(re.findall(r"`([A-Z_]+)`", page("reference/errors"))) == set()


def test_every_column_is_explained() -> None:
    text = page("reference/tables")
    tables = Tables.named("copies")
    columns = {column.name for table in (tables.images, tables.matches) for column in table.columns}
    assert [name for name in columns if f"`{name}`" not in text] == []


def test_every_key_of_the_summary_is_explained(emulator: Service, pictures: Path) -> None:
    explained = {name for row in table(page("reference/summary"), "key") for name in re.findall(r"`(\w+)`", row[0])}
    assert search(pictures).keys() - explained == set()


def test_databases_are_those_that_are_not_refused() -> None:
    one_line = page("how-to/monitor").replace("\n", " ")
    (named,) = re.findall(r"They need (.*); a connection to another database", one_line)
    with pytest.raises(TableError, match=re.escape(f"is not supported: use {named}")):
        check_supported("snowflake")
