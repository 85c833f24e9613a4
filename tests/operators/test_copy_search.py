from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import AirflowFailException, AirflowSkipException, Asset
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.operators.parameters import Parameters
from airflow_provider_yandex_vision.vision.errors import FailedImagesError
from tests.operators.conftest import IN_TABLE, OutletEvents, Query, context, operator, search
from tests.support.secrets import API_KEY

COUNTS = {"images": 7, "found": 3, "none": 1, "rejected": 3, "failed": 0, "skipped": 0, "duplicates": 1}
RECHECK: dict[str, Any] = {**IN_TABLE, "recheck_after": timedelta(days=7)}


def searched(service: Service) -> int:
    images: Any = service.statistics()["images"]
    return int(images)


def some_of(summary: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: summary[name] for name in names}


class TestWithoutTable:
    def test_results_are_plain_values_for_xcom(self, emulator: Service, pictures: Path) -> None:
        summary = search(pictures)
        assert some_of(summary, *COUNTS) == COUNTS
        assert summary["new_matches"] == summary["matches"] == 5
        assert json.loads(json.dumps(summary)) == summary
        results = {Path(result["uri"]).name: result for result in summary["results"]}
        assert results["cat.jpg"]["copy_count"] == 2
        assert {match["domain"] for match in results["cat.jpg"]["matches"]} == {"cats.example", "news.example"}
        assert results["rocket.jpg"]["status"] == "none"
        assert searched(emulator) == 3

    def test_each_bad_file_is_rejected_with_its_own_reason(self, emulator: Service, pictures: Path) -> None:
        summary = search(pictures)
        reasons = {Path(r["uri"]).name: r["error_message"] for r in summary["results"] if r["status"] == "rejected"}
        assert reasons == {
            "broken.jpg": "Can't decode Image",
            "empty.png": "the file is empty",
            "notes.jpg": "the file is not an image",
        }

    def test_too_many_images_for_xcom_fail_before_any_request(self, emulator: Service, pictures: Path) -> None:
        with pytest.raises(AirflowFailException, match="more than 3 images for XCom"):
            search(pictures, max_xcom_images=3)
        assert emulator.statistics()["requests"] == {}

    def test_budget_within_max_xcom_images_is_accepted(self, emulator: Service, pictures: Path) -> None:
        summary = search(pictures, max_xcom_images=3, max_images=2)
        assert some_of(summary, "images", "partial") == {"images": 7, "partial": True}
        assert len(summary["results"]) == 2

    def test_images_may_be_lists_of_any_kind(self, emulator: Service, pictures: Path) -> None:
        urls = [f"file://{pictures}/cat.jpg", f"file://{pictures}/rocket.jpg"]
        for images in (urls, tuple(urls), str(urls), [urls[:1], urls[1:]]):
            assert search(images)["images"] == 2

    def test_images_may_be_a_glob(self, emulator: Service, pictures: Path) -> None:
        assert search(f"file://{pictures}/c*.jpg")["images"] == 2

    def test_missing_file_of_a_list_does_not_fail_the_task(self, emulator: Service, pictures: Path) -> None:
        images = [f"file://{pictures}/cat.jpg", f"file://{pictures}/typo.jpg"]
        summary = search(images, max_failed_share=0.5)
        assert some_of(summary, "found", "failed") == {"found": 1, "failed": 1}

    def test_too_many_failed_images_fail_the_task(self, emulator: Service, pictures: Path) -> None:
        images = [f"file://{pictures}/cat.jpg", f"file://{pictures}/typo.jpg"]
        with pytest.raises(FailedImagesError, match=r"1 of 2 images failed, .*typo.jpg: GONE"):
            search(images)

    def test_task_fails_if_all_images_failed(self, emulator: Service, pictures: Path) -> None:
        with pytest.raises(FailedImagesError, match="2 of 2 images failed"):
            search([f"file://{pictures}/typo1.jpg", f"file://{pictures}/typo2.jpg"])

    def test_plan_sends_nothing(self, emulator: Service, pictures: Path) -> None:
        plan = search(pictures, plan_only=True, requests_per_second=0.5, max_xcom_images=1)
        assert some_of(plan, "images", "found", "skipped", "requests", "seconds", "results") == {
            "images": 7,
            "found": 0,
            "skipped": 0,
            "requests": 1,
            "seconds": 2.0,
            "results": [],
        }
        assert emulator.statistics()["requests"] == {}

    def test_plan_has_the_keys_of_a_run(self, emulator: Service, pictures: Path) -> None:
        assert search(pictures, plan_only=True).keys() == search(pictures).keys()


class TestWithTable:
    def test_plan_counts_what_is_left_after_skipping(self, emulator: Service, pictures: Path, database: Query) -> None:
        search(pictures, max_images=5, **RECHECK)
        requests = emulator.statistics()["requests"]
        plan = search(pictures, "run 2", plan_only=True, **RECHECK)
        assert some_of(plan, "images", "skipped", "requests") == {"images": 7, "skipped": 5, "requests": 1}
        assert emulator.statistics()["requests"] == requests
        assert database("SELECT count(*) FROM copies") == [(5,)]

    def test_tables_have_a_row_per_image_and_a_row_per_page(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        summary = search(pictures, **IN_TABLE)
        assert some_of(summary, *COUNTS) == COUNTS
        assert "results" not in summary
        assert some_of(summary, "copies", "matches", "new_matches", "table") == {
            "copies": 5,
            "matches": 5,
            "new_matches": 5,
            "table": "copies",
        }
        assert sorted(database("SELECT status, count(*) FROM copies GROUP BY status")) == [
            ("found", 3),
            ("none", 1),
            ("rejected", 3),
        ]
        assert database("SELECT count(*) FROM copies_matches") == [(5,)]
        ((run_id, task_id, map_index),) = database("SELECT DISTINCT run_id, task_id, map_index FROM copies")
        assert (run_id, task_id, map_index) == ("run 1", "search", -1)

    def test_retry_pays_for_nothing_again(self, emulator: Service, pictures: Path, database: Query) -> None:
        first = search(pictures, **IN_TABLE)
        summary = search(pictures, **IN_TABLE)
        assert {**summary, "seconds": 0} == {**first, "requests": 0, "duplicates": 0, "seconds": 0}
        assert searched(emulator) == 3

    def test_new_run_searches_again_and_counts_new_matches(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        search(pictures, **IN_TABLE)
        summary = search(pictures, "run 2", **IN_TABLE)
        assert some_of(summary, "found", "skipped", "new_matches") == {"found": 3, "skipped": 0, "new_matches": 0}
        assert database("SELECT DISTINCT first_seen_run_id FROM copies_matches") == [("run 1",)]

    def test_recheck_after_skips_unchanged_images(self, emulator: Service, pictures: Path, database: Query) -> None:
        search(pictures, **RECHECK)
        (pictures / "rocket.jpg").write_bytes((pictures / "coffee.jpg").read_bytes())
        summary = search(pictures, "run 2", **RECHECK)
        assert some_of(summary, "skipped", "found", "duplicates") == {"skipped": 6, "found": 1, "duplicates": 1}
        assert searched(emulator) == 3

    def test_run_after_a_budget_starts_with_the_rest(self, emulator: Service, pictures: Path, database: Query) -> None:
        first = search(pictures, "run 1", max_images=4, **IN_TABLE)
        assert some_of(first, "images", "partial") == {"images": 7, "partial": True}
        assert database("SELECT count(*) FROM copies") == [(4,)]
        search(pictures, "run 2", max_images=4, **IN_TABLE)
        assert database("SELECT count(*) FROM copies") == [(7,)]

    def test_shards_split_the_images_without_gap_or_overlap(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        summaries = [search(pictures, shard=str(shard), shards=3, **IN_TABLE) for shard in range(3)]
        assert sum(summary["images"] for summary in summaries) == 7
        assert database("SELECT count(*) FROM copies") == [(7,)]

    def test_retry_searches_failed_images_again(self, emulator: Service, pictures: Path, database: Query) -> None:
        images = [f"file://{pictures}/cat.jpg", f"file://{pictures}/late.jpg"]
        with pytest.raises(FailedImagesError, match="see the rows in copies"):
            search(images, **IN_TABLE)
        (pictures / "late.jpg").write_bytes((pictures / "rocket.jpg").read_bytes())
        summary = search(images, **IN_TABLE)
        assert some_of(summary, "skipped", "none", "failed") == {"skipped": 0, "none": 1, "failed": 0}

    def test_picture_that_stays_missing_fails_one_run(self, emulator: Service, pictures: Path, database: Query) -> None:
        images = [f"file://{pictures}/cat.jpg", f"file://{pictures}/typo.jpg"]
        for _attempt in range(2):
            with pytest.raises(FailedImagesError, match="see the rows in copies"):
                search(images, **IN_TABLE)
        for _attempt in range(2):
            assert search(images, "run 2", **IN_TABLE)["failed"] == 1
        (pictures / "cat.jpg").unlink()
        with pytest.raises(FailedImagesError, match="1 of 1 images failed"):
            search(images, "run 3", **IN_TABLE)

    def test_asset_events_get_the_counts(self, emulator: Service, pictures: Path, database: Query) -> None:
        asset = Asset("copies")
        event = SimpleNamespace(extra=None)
        operator(pictures, outlets=[asset], **IN_TABLE).execute(context(outlet_events=OutletEvents(asset, event)))
        assert event.extra is not None
        assert some_of(event.extra, *COUNTS) == COUNTS


class TestInputs:
    @pytest.mark.parametrize("plan_only", [False, True])
    def test_summary_counts_the_files_of_a_directory_left_out(
        self, emulator: Service, pictures: Path, plan_only: bool
    ) -> None:
        (pictures / "a.webp").write_bytes(b"RIFF....WEBP")
        (pictures / "notes.txt").touch()
        summary = search(pictures, plan_only=plan_only)
        assert some_of(summary, "images", "ignored") == {"images": 7, "ignored": 2}
        converted = search(pictures, plan_only=plan_only, convert_images=True)
        assert some_of(converted, "images", "ignored") == {"images": 8, "ignored": 1}

    def test_keys_of_a_mapping_are_templates(self, emulator: Service, pictures: Path) -> None:
        task = operator({f"file://{pictures}": "{{ keys }}"})
        task.render_template_fields(context(keys=["cat.jpg", "rocket.jpg"]))
        assert task.execute(context())["images"] == 2

    def test_lineage_names_what_keys_and_globs_stand_for(self) -> None:
        from airflow_provider_yandex_vision.operators.lineage import lineage

        images = [{"https://cdn.example/": ["a*.jpg"]}, "file:///data/*.jpg"]
        found = lineage(images, None, None, None).inputs
        assert [(each.namespace, each.name) for each in found] == [
            ("https://cdn.example", "a*.jpg"),
            ("file", "/data/"),
        ]


class TestEmptyList:
    @pytest.mark.parametrize("images", [[], (), "[]", " [[], []] ", [[]], {}, {"s3://bucket/": []}])
    def test_empty_list_skips_the_task_before_anything_is_opened(self, images: object) -> None:
        with pytest.raises(AirflowSkipException, match="images is an empty list"):
            search(images, yandex_vision_conn_id="no_such_connection", table="copies", sql_conn_id="no_such_database")


class TestBadInput:
    """Fails the task without retries, with one clear sentence, before anything is billed."""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ({"table": "copies"}, "set both or neither: table='copies', sql_conn_id=None"),
            ({"sql_conn_id": "results_db"}, "set both or neither: table=None, sql_conn_id='results_db'"),
            ({"recheck_after": timedelta(1)}, "recheck_after needs table"),
            ({"images": ""}, "images is empty"),
            ({"images": "catalog/a.jpg"}, "'catalog/a.jpg' is not a URL"),
            ({"images": 7}, "images must be a URL or a list of URLs, not int"),
            ({"images": "file:///no/such/folder/"}, "no images at file:///no/such/folder/"),
            ({"images": "file:///no/such/*.jpg"}, "no images at"),
            ({"images": "gs://bucket/a.jpg"}, r"pip install 'airflow-provider-yandex-vision\[google\]'"),
            ({"images": "s3://typo@bucket/"}, "connection 'typo'"),
            ({"yandex_vision_conn_id": "typo"}, "connection 'typo'"),
            ({"table": "copies", "sql_conn_id": "typo"}, "connection 'typo'"),
            ({"table": "x; drop", "sql_conn_id": "results_db"}, "x; drop"),
            ({"table": 'quo"te', "sql_conn_id": "results_db"}, "quo"),
            ({"table": "two words", "sql_conn_id": "results_db"}, "two words"),
            ({"create_table": False, **IN_TABLE}, "copies"),
            ({"table": "copies", "sql_conn_id": "yandex_vision_default"}, "connection 'yandex_vision_default'"),
            ({"shard": 2, "shards": 2}, "shard must be 0 to shards - 1: shard=2, shards=2"),
            ({"shards": 0}, "shard must be 0 to shards - 1: shard=0, shards=0"),
            ({"shard": ""}, "shard must be 0 to shards - 1: shard='', shards=1"),
            ({"max_images": 0}, "max_images must be at least 1"),
            ({"requests_per_second": 0}, "requests_per_second must be greater than 0"),
        ],
    )
    def test_bad_argument_fails_before_any_request(
        self,
        emulator: Service,
        pictures: Path,
        tmp_path: Path,
        connect: Callable[..., None],
        arguments: dict[str, Any],
        sentence: str,
    ) -> None:
        connect("results_db", conn_type="sqlite", host=str(tmp_path / "results.db"))
        with pytest.raises(AirflowFailException, match=sentence):
            search(**{"images": pictures, **arguments})
        assert emulator.statistics()["requests"] == {}

    def test_empty_folder_fails(self, emulator: Service, tmp_path: Path) -> None:
        with pytest.raises(AirflowFailException, match="no images at"):
            search(tmp_path)

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"password": ""}, "connection 'yandex_vision_default': no credentials: put an API key"),
            (
                {"password": API_KEY + "x"},
                "access denied for connection 'yandex_vision_default': check its credentials, .*: Unknown api key",
            ),
            ({"host": "not a url"}, "is not a URL"),
        ],
    )
    def test_bad_connection_fails_with_the_reason(
        self, pictures: Path, service: Service, connect: Callable[..., None], fields: dict[str, str], sentence: str
    ) -> None:
        with running(service) as url:
            good = {"conn_type": "yandex_vision", "password": API_KEY, "host": url}
            connect("yandex_vision_default", **{**good, **fields})
            with pytest.raises(AirflowFailException, match=sentence):
                search(pictures)
        assert searched(service) == 0

    def test_unknown_argument_is_an_error(self) -> None:
        with pytest.raises(Exception, match="imagess"):
            operator("x", imagess="y")


class TestParsing:
    def test_constructor_checks_and_connects_nothing(self) -> None:
        images = "s3://no-such-connection@bucket/"
        task = operator(images, table="bad name", yandex_vision_conn_id="typo", shard="{{ 1 }}")
        assert task.images == images

    def test_templated_fields_render(self, pictures: Path) -> None:
        task = operator("file://{{ folder }}/", table="{{ t }}", shard="{{ n }}", shards="{{ n + 1 }}")
        values: Any = {"folder": str(pictures), "t": "copies", "n": 1}
        task.render_template_fields(values)
        assert (task.images, task.table, task.shard, task.shards) == (f"file://{pictures}/", "copies", "1", "2")

    def test_docstring_describes_all_arguments_and_templates(self) -> None:
        text = inspect.getdoc(YandexVisionCopySearchOperator) or ""
        described = dict(re.findall(r":param (\w+):((?:.|\n(?!:param))*)", text))
        assert [*described] == [name for name in arguments() if name not in ("self", "kwargs")]
        templated = [name for name, words in described.items() if words.rstrip().endswith("(templated)")]
        assert templated == [*YandexVisionCopySearchOperator.template_fields]

    def test_arguments_have_the_defaults_of_a_run(self) -> None:
        for field in fields(Parameters):
            default = arguments()[field.name].default
            assert default == (inspect.Parameter.empty if field.default is MISSING else field.default)

    @pytest.mark.integration
    def test_module_loads_nothing_that_only_a_run_needs(self) -> None:
        program = (
            "import sys, airflow_provider_yandex_vision.operators.copy_search\n"
            "rooms = [f'airflow_provider_yandex_vision.{room}' for room in sys.argv[1:]]\n"
            "print(*sorted(name for name in sys.modules if name.startswith(tuple(rooms))))"
        )
        command = [sys.executable, "-c", program, "hooks", "images", "results", "search", "vision", "operators."]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded = done.stdout.splitlines()[-1].replace("airflow_provider_yandex_vision.", "")
        assert loaded == "operators.copy_search search search.defaults"


def arguments() -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(YandexVisionCopySearchOperator.__init__).parameters)


def test_on_kill_before_and_after_a_run_does_no_harm(emulator: Service, pictures: Path) -> None:
    task = operator(pictures)
    task.on_kill()
    assert task.execute(context())["images"] == 7
    task.on_kill()
