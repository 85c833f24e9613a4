"""The views: created once, whoever comes first, and replaced when they are another version's."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.decisions import VERDICTS, Decision
from airflow_provider_yandex_vision.results.findings import Findings
from airflow_provider_yandex_vision.results.rows import finding_id
from airflow_provider_yandex_vision.results.schema import FindingTables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult
from airflow_provider_yandex_vision.vision.sites import site_of
from tests.results.samples import MONDAY, SECOND_RUN, SHA, found, match, select_rows


def replace_views(engine: Engine, table: str, *, same_columns: bool) -> None:
    """As an older version might have made them."""
    with engine.begin() as connection:
        for view in reversed(FindingTables.named(table)[2:]):
            if same_columns:
                connection.execute(text(f"CREATE TABLE {view.name}_kept AS SELECT * FROM {view.name} WHERE 1 = 0"))
            connection.execute(text(f"DROP VIEW {view.name}"))
            source = f"{view.name}_kept" if same_columns else f"{table}_matches"
            columns = "*" if same_columns else "finding_id, page_url"
            connection.execute(text(f"CREATE VIEW {view.name} AS SELECT {columns} FROM {source} WHERE 1 = 0"))


@pytest.mark.parametrize("same_columns", [True, False])
def test_views_of_an_older_version_are_replaced(engine: Engine, table: ResultTable, same_columns: bool) -> None:
    table.write([found("s3://b/1", "https://a.example/", sha256=SHA)])
    replace_views(engine, table.name, same_columns=same_columns)
    try:
        with pytest.raises(TableError, match=r"by an older version: run these .*VIEW .*_findings .*VIEW .*_open "):
            ResultTable(engine, table.name, SECOND_RUN).prepare(create=False)
        ResultTable(engine, table.name, SECOND_RUN).prepare()
        ResultTable(engine, table.name, SECOND_RUN).prepare(create=False)
        assert [row["page_url"] for row in Findings(engine, table.name).select("open")] == ["https://a.example/"]
    finally:
        with engine.begin() as connection:
            for view in FindingTables.named(table.name)[2:]:
                connection.execute(text(f"DROP VIEW IF EXISTS {view.name}"))
                connection.execute(text(f"DROP TABLE IF EXISTS {view.name}_kept"))


def test_views_that_are_up_to_date_are_left_alone(
    engine: Engine, table: ResultTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise AssertionError("a view was created")

    monkeypatch.setattr("airflow_provider_yandex_vision.results.views._create", fail)
    ResultTable(engine, table.name, SECOND_RUN).prepare()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_views_that_people_built_on_them_survive(engine: Engine, table: ResultTable) -> None:
    replace_views(engine, table.name, same_columns=True)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE VIEW {table.name}_mine AS SELECT page_url FROM {table.name}_open"))
    try:
        table.write([found("s3://b/1", "https://a.example/", sha256=SHA)])
        ResultTable(engine, table.name, SECOND_RUN).prepare()
        assert select_rows(engine, f"{table.name}_mine", "page_url") == [("https://a.example/",)]
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP VIEW {table.name}_mine, {table.name}_open, {table.name}_findings"))
            connection.execute(text(f"DROP TABLE {table.name}_open_kept, {table.name}_findings_kept"))


@pytest.mark.integration
@pytest.mark.parametrize("same_columns", [True, False])
def test_tasks_may_race_to_replace_them(url: str, engine: Engine, table: ResultTable, same_columns: bool) -> None:
    replace_views(engine, table.name, same_columns=same_columns)
    engines = [engine] * 6 if engine.dialect.name == "duckdb" else [create_engine(url) for _ in range(6)]
    try:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda each: ResultTable(each, table.name, SECOND_RUN).prepare(), engines))
        ResultTable(engine, table.name, SECOND_RUN).prepare(create=False)
    finally:
        for each in engines:
            each.dispose()
        with engine.begin() as connection:
            for view in FindingTables.named(table.name)[2:]:
                connection.execute(text(f"DROP VIEW IF EXISTS {view.name}"))
                connection.execute(text(f"DROP TABLE IF EXISTS {view.name}_kept"))


LABELS = ("a", "b", "img", "shop")
SITES = ("example.com", "example.co.uk", "anna.github.io", "пример.рф", "localhost")


def verdict_in_python(match: CopyMatch, decisions: dict[tuple[str, str], str]) -> str | None:
    """The closest decision about the finding, the host and the names above it."""
    finding = decisions.get(("finding", finding_id(SHA, "", match.page_url, match.image_url)))
    names = match.domain.split(".")
    hosts = [decisions.get(("site", ".".join(names[n:]))) for n in range(len(names))]
    return next((verdict for verdict in (finding, *hosts) if verdict), None)


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(3))
def test_verdicts_are_those_of_a_model_in_python(engine: Engine, table: ResultTable, seed: int) -> None:
    chance = random.Random(seed)

    def host() -> str:
        return ".".join((*chance.choices(LABELS, k=chance.randrange(4)), chance.choice(SITES)))

    matches = [match(f"https://{(name := host())}/{n}", n + 1, domain=name, site=site_of(name)) for n in range(60)]
    table.write([CopySearchResult("s3://b/1", "found", 60, tuple(matches), sha256=SHA, searched_at=MONDAY)])
    about = [("site", host()) for _ in range(25)]
    about += [("finding", finding_id(SHA, "", each.page_url, "")) for each in chance.sample(matches, 5)]
    decisions = {subject: chance.choice(VERDICTS) for subject in about}
    findings = Findings(engine, table.name)
    findings.decisions.write(
        Decision(kind=kind, subject=subject, verdict=verdict) for (kind, subject), verdict in decisions.items()
    )
    expected = {each.page_url: verdict_in_python(each, decisions) for each in matches}
    assert {row["page_url"]: row["verdict"] for row in findings.select("all")} == expected
    assert {row["page_url"] for row in findings.select("open")} == {page for page in expected if not expected[page]}
    assert {row["page_url"] for row in findings.select("cases")} == {p for p in expected if expected[p] == "case"}
