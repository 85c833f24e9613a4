"""Text from file names and the web is data: it forges no log, is never rendered, and goes only where results go."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import AirflowFailException, Asset
from airflow_provider_yandex_vision.emulator.contract import AnalyzeSpec, Json
from airflow_provider_yandex_vision.emulator.service import Answer
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.operators.run import CopySearchRun
from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.vision.errors import FailedImagesError
from tests.operators.conftest import IN_TABLE, OutletEvents, Query, context
from tests.support.counting import CountingService
from tests.support.hostile import CODE, FORGERY, forges, texts_of
from tests.support.pictures import png

TEXTS = [*CODE.values(), FORGERY]
MATCHES = [(text, f"https://{text}/", f"https://i.test/{text}", f"More: {text}") for text in TEXTS]

RECORD = re.compile(r"\[?20\d\d-\d\d-\d\dT")
"""How the lines of Airflow's own handlers start."""


def refusal(status: int) -> Answer:
    return Answer(status, {"x-request-id": "a\x1b[1mb"}, json.dumps({"message": FORGERY}).encode())


class HostileService(CountingService):
    """Finds a page with every hostile text for each image. Its errors are hostile too."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = [refusal(503)]

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return self.refusals.pop() if self.refusals else super().answer(method, path, headers, body)

    def _analyze(self, spec: AnalyzeSpec) -> Json:
        if b"unlucky" in spec.content:
            return {"error": {"code": 2, "message": FORGERY}}
        pages = [
            {"title": title, "pageUrl": page_url, "imageUrl": image_url, "description": description}
            for title, page_url, image_url, description in MATCHES
        ]
        return {"results": [{"imageCopySearch": {"copyCount": str(len(pages)), "topResults": pages}}]}


@pytest.fixture
def service() -> HostileService:
    return HostileService()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("{{ 7 * 7 }}", "{% raw %}", "%(asctime)s {0}", FORGERY):
        (folder / f"{name}.png").write_bytes(png(name))
    return folder


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Everything that was logged or printed, one text per record or line."""
    caplog.set_level(logging.INFO)

    def read() -> list[str]:
        lines = [line for line in "".join(capfd.readouterr()).split("\n") if line]
        return [*map(logging.Formatter().format, caplog.records), *lines]

    return read


class EagerOperator(YandexVisionCopySearchOperator):
    """Retries requests without delay."""

    def _new_run(self, context: Any) -> CopySearchRun:
        run = super()._new_run(context)
        run.settings = replace(run.settings, backoff=Backoff(base=0))
        return run


def operator(images: object, **arguments: Any) -> EagerOperator:
    return EagerOperator(task_id="search", images=images, **arguments)


@pytest.mark.usefixtures("emulator")
class TestLog:
    def test_every_log_record_is_one_line(self, folder: Path, shown: Callable[[], list[str]]) -> None:
        operator(f"file://{folder}/").execute(context())
        texts = shown()
        assert all(text.isprintable() for text in texts)
        quoting = [text for text in texts if "owned" in text]
        assert any(" ::\\endgroup::\\n[2026" in text for text in quoting), "the service was not quoted"
        assert any("/::\\endgroup::\\n[2026" in text for text in quoting), "the file was not named"
        assert not any(map(forges, quoting))

    def test_every_printed_line_starts_like_airflow_s(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        operator(f"file://{folder}/").execute(context())
        lines = "".join(capfd.readouterr()).removesuffix("\n").split("\n")
        assert all(RECORD.match(line) for line in lines), lines

    def test_failed_task_gives_the_reason_on_one_line(self, folder: Path) -> None:
        (folder / f"{FORGERY}.png").write_bytes(png("unlucky"))
        with pytest.raises(FailedImagesError) as caught:
            operator(f"file://{folder}/", max_failed_share=0).execute(context())
        [line] = texts_of(caught.value)
        assert not forges(line)
        assert f"{folder}/::\\endgroup::\\n[2026" in line, "the file was not named"
        assert "UNKNOWN: ::\\endgroup::\\n[2026" in line, "the service was not quoted"

    def test_access_denied_is_reported_on_one_line(self, folder: Path, emulator: HostileService) -> None:
        emulator.refusals = [refusal(401)]
        with pytest.raises(AirflowFailException, match="owned") as caught:
            operator(f"file://{folder}/").execute(context())
        assert not any(map(forges, texts_of(caught.value)))

    @pytest.mark.parametrize(
        "arguments",
        [
            {"images": f"file:///no/such/{FORGERY}/"},
            {"images": f"file:///no/such/{FORGERY}/*.jpg"},
            {"images": f"file:///no/such/{FORGERY}.jpg"},
            {"images": f"s3://{FORGERY}@bucket/"},
            {"images": "s3://bucket/", "object_storage_conn_id": FORGERY},
            {"yandex_vision_conn_id": FORGERY},
            {"table": "copies", "sql_conn_id": FORGERY},
            {"table": FORGERY, "sql_conn_id": "results_db"},
            {"table": FORGERY},
            {"sql_conn_id": FORGERY},
        ],
    )
    def test_hostile_argument_forges_no_log_line(
        self, folder: Path, tmp_path: Path, connect: Callable[..., None], arguments: dict[str, Any]
    ) -> None:
        connect("results_db", conn_type="sqlite", host=str(tmp_path / "results.db"))
        with pytest.raises(AirflowFailException) as caught:
            operator(**{"images": f"file://{folder}/", **arguments}).execute(context())
        lines = texts_of(caught.value)
        assert not any(map(forges, lines)), lines


@pytest.mark.usefixtures("emulator")
class TestData:
    def test_hostile_text_stays_in_the_table(
        self, folder: Path, database: Query, shown: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        asset = Asset("copies")
        event = SimpleNamespace(extra=None)
        task = operator(f"file://{folder}/", outlets=[asset], **IN_TABLE)
        summary = task.execute(context(outlet_events=OutletEvents(asset, event)))
        rows = database("SELECT title, page_url, image_url, description FROM copies_matches")
        assert sorted(rows) == sorted(MATCHES * 4)
        assert {uri for (uri,) in database("SELECT image_uri FROM copies")} == {
            f"file://{each}" for each in folder.iterdir()
        }
        elsewhere = "\n".join((*map(str, summary.values()), str(event.extra), *shown()))
        assert "'found': 4" in elsewhere, "neither summary nor event found"
        assert not [
            text for match in MATCHES for text in match if text not in (FORGERY, "+1", "-1") and text in elsewhere
        ]

    def test_hostile_text_in_xcom_is_plain_and_unrendered(self, folder: Path) -> None:
        task = operator(f"file://{folder}/")
        before = {name: getattr(task, name) for name in task.template_fields}
        task.render_template_fields(context())
        results = json.loads(json.dumps(task.execute(context())))["results"]
        assert {result["uri"] for result in results} == {f"file://{each}" for each in folder.iterdir()}
        for result in results:
            found = [(m["title"], m["page_url"], m["image_url"], m["description"]) for m in result["matches"]]
            assert found == MATCHES
        task.render_template_fields(context())
        assert {name: getattr(task, name) for name in task.template_fields} == before
