from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.vision.errors import FailedImagesError
from tests.operators.conftest import Query
from tests.support.secrets import API_KEY

COUNTS = {"images": 7, "found": 3, "none": 1, "rejected": 3, "failed": 0, "skipped": 0, "duplicates": 1}


def operator(pictures: object, **arguments: Any) -> YandexVisionCopySearchOperator:
    images = f"file://{pictures}/" if isinstance(pictures, Path) else pictures
    return YandexVisionCopySearchOperator(task_id="search", images=images, **arguments)


def context(run_id: str = "run 1", map_index: int = -1) -> Any:
    return {"ti": SimpleNamespace(dag_id="dag", run_id=run_id, task_id="search", map_index=map_index)}


def search(pictures: object, run_id: str = "run 1", **arguments: Any) -> dict[str, Any]:
    return operator(pictures, **arguments).execute(context(run_id))


def searched(service: Service) -> int:
    images: Any = service.statistics()["images"]
    return int(images)


def some_of(summary: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: summary[name] for name in names}


class TestWithoutATable:
    def test_the_results_are_plain_values_for_xcom(self, emulator: Service, pictures: Path) -> None:
        summary = search(pictures)
        assert some_of(summary, *COUNTS) == COUNTS
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

    def test_more_images_than_xcom_should_carry_are_refused_before_the_first_request(
        self, emulator: Service, pictures: Path
    ) -> None:
        with pytest.raises(AirflowFailException, match="more than 3 images, too many for XCom"):
            search(pictures, max_xcom_images=3)
        assert emulator.statistics()["requests"] == {}

    def test_a_budget_within_what_xcom_carries_is_fine(self, emulator: Service, pictures: Path) -> None:
        summary = search(pictures, max_xcom_images=3, max_images=2)
        assert some_of(summary, "images", "partial") == {"images": 7, "partial": True}
        assert len(summary["results"]) == 2

    def test_lists_and_other_tasks_outputs_are_taken(self, emulator: Service, pictures: Path) -> None:
        urls = [f"file://{pictures}/cat.jpg", f"file://{pictures}/rocket.jpg"]
        for images in (urls, tuple(urls), str(urls), [urls[:1], urls[1:]]):
            assert search(images)["images"] == 2

    def test_a_glob_takes_what_it_matches(self, emulator: Service, pictures: Path) -> None:
        assert search(f"file://{pictures}/c*.jpg")["images"] == 2

    def test_a_missing_file_of_a_list_is_a_row_and_not_a_failure(self, emulator: Service, pictures: Path) -> None:
        summary = search([f"file://{pictures}/cat.jpg", f"file://{pictures}/typo.jpg"])
        assert some_of(summary, "found", "failed") == {"found": 1, "failed": 1}

    def test_failed_images_fail_the_task_where_it_was_told_to_mind(self, emulator: Service, pictures: Path) -> None:
        images = [f"file://{pictures}/cat.jpg", f"file://{pictures}/typo.jpg"]
        with pytest.raises(FailedImagesError, match=r"1 of 2 images failed; .*typo.jpg: GONE"):
            search(images, fail_on_partial_error=True)

    def test_all_images_failed_always_fails_the_task(self, emulator: Service, pictures: Path) -> None:
        with pytest.raises(FailedImagesError, match="2 of 2 images failed"):
            search([f"file://{pictures}/typo1.jpg", f"file://{pictures}/typo2.jpg"])

    def test_a_plan_spends_nothing(self, emulator: Service, pictures: Path) -> None:
        plan = search(pictures, plan_only=True, requests_per_second=0.5, max_xcom_images=1)
        assert plan == {
            "images": 7,
            "skipped": 0,
            "to_search": 7,
            "requests": 1,
            "seconds": 2.0,
            "partial": False,
            "table": None,
        }
        assert emulator.statistics()["requests"] == {}


class TestWithATable:
    def test_a_plan_counts_what_is_left_after_skipping_and_spends_nothing(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        arguments: dict[str, Any] = {
            "table": "copies",
            "sql_conn_id": "results_db",
            "recheck_after": timedelta(days=7),
        }
        search(pictures, max_images=5, **arguments)
        plan = search(pictures, "run 2", plan_only=True, **arguments)
        assert some_of(plan, "images", "skipped", "to_search", "requests") == {
            "images": 7,
            "skipped": 5,
            "to_search": 2,
            "requests": 1,
        }
        assert database("SELECT count(*) FROM copies") == [(5,)]

    def test_the_tables_hold_one_row_for_every_image_and_one_for_every_page(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        summary = search(pictures, table="copies", sql_conn_id="results_db")
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

    def test_a_retry_of_the_run_pays_for_nothing_again(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        search(pictures, table="copies", sql_conn_id="results_db")
        summary = search(pictures, table="copies", sql_conn_id="results_db")
        assert some_of(summary, "images", "skipped", "requests", "new_matches") == {
            "images": 7,
            "skipped": 7,
            "requests": 0,
            "new_matches": 5,
        }
        assert searched(emulator) == 3

    def test_a_new_run_searches_again_and_tells_new_from_old(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        search(pictures, table="copies", sql_conn_id="results_db")
        summary = search(pictures, "run 2", table="copies", sql_conn_id="results_db")
        assert some_of(summary, "found", "skipped", "new_matches") == {"found": 3, "skipped": 0, "new_matches": 0}
        assert database("SELECT DISTINCT first_seen_run_id FROM copies_matches") == [("run 1",)]

    def test_recheck_after_skips_what_has_not_changed_and_reads_nothing(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        arguments: dict[str, Any] = {
            "table": "copies",
            "sql_conn_id": "results_db",
            "recheck_after": timedelta(days=7),
        }
        search(pictures, **arguments)
        (pictures / "rocket.jpg").write_bytes((pictures / "coffee.jpg").read_bytes())
        summary = search(pictures, "run 2", **arguments)
        assert some_of(summary, "skipped", "found", "duplicates") == {"skipped": 6, "found": 1, "duplicates": 1}
        assert searched(emulator) == 3

    def test_a_budget_stops_the_run_and_the_next_one_goes_on_with_the_rest(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        arguments: dict[str, Any] = {"table": "copies", "sql_conn_id": "results_db", "max_images": 4}
        first = search(pictures, "run 1", **arguments)
        assert some_of(first, "images", "partial") == {"images": 7, "partial": True}
        assert database("SELECT count(*) FROM copies") == [(4,)]
        search(pictures, "run 2", **arguments)
        assert database("SELECT count(*) FROM copies") == [(7,)]

    def test_shards_share_the_images_without_gap_or_overlap(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        summaries = [
            search(pictures, table="copies", sql_conn_id="results_db", shard=str(shard), shards=3) for shard in range(3)
        ]
        assert sum(summary["images"] for summary in summaries) == 7
        assert database("SELECT count(*) FROM copies") == [(7,)]

    def test_shards_share_rate_and_window(self) -> None:
        hook = operator("x", shards="4", requests_per_second=10, max_concurrent_requests=8).hook
        assert hook.settings.requests_per_second == 2.5
        assert hook.settings.max_concurrent_requests == 2

    def test_failed_images_are_searched_again_by_a_retry(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        images = [f"file://{pictures}/cat.jpg", f"file://{pictures}/late.jpg"]
        search(images, table="copies", sql_conn_id="results_db")
        (pictures / "late.jpg").write_bytes((pictures / "rocket.jpg").read_bytes())
        summary = search(images, table="copies", sql_conn_id="results_db")
        assert some_of(summary, "skipped", "none", "failed") == {"skipped": 1, "none": 1, "failed": 0}

    def test_declared_outlets_get_the_counts(self, emulator: Service, pictures: Path, database: Query) -> None:
        from airflow.providers.common.compat.sdk import Asset

        asset = Asset("copies")
        events = {asset: SimpleNamespace(extra=None)}
        op = operator(pictures, table="copies", sql_conn_id="results_db", outlets=[asset])
        with_events: Any = {**context(), "outlet_events": events}
        op.execute(with_events)
        assert events[asset].extra is not None
        assert some_of(events[asset].extra, *COUNTS) == COUNTS


class TestBadInput:
    """A run's trouble fails the task for good, with one clear sentence and without a paid request."""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ({"table": "copies"}, "table 'copies' needs sql_conn_id"),
            ({"sql_conn_id": "results_db"}, "sql_conn_id 'results_db' needs table"),
            ({"recheck_after": timedelta(1)}, "recheck_after needs table"),
            ({"images": []}, "images is empty"),
            ({"images": ""}, "images is empty"),
            ({"images": 7}, "images takes URLs"),
            ({"images": "file:///no/such/folder/"}, "file:///no/such/folder/ has no pictures"),
            ({"images": "file:///no/such/*.jpg"}, "nothing matches the pattern"),
            ({"images": "gs://bucket/a.jpg"}, r"pip install 'airflow-provider-yandex-vision\[google\]'"),
            ({"images": "s3://typo@bucket/"}, "no connection 'typo'"),
            ({"yandex_vision_conn_id": "typo"}, "no connection 'typo'"),
            ({"table": "copies", "sql_conn_id": "typo"}, "no connection 'typo'"),
            ({"table": "x; drop", "sql_conn_id": "results_db"}, "x; drop"),
            ({"table": 'quo"te', "sql_conn_id": "results_db"}, "quo"),
            ({"table": "two words", "sql_conn_id": "results_db"}, "two words"),
            ({"table": "copies", "sql_conn_id": "results_db", "create_table": False}, "copies"),
            ({"table": "copies", "sql_conn_id": "yandex_vision_default"}, "not an SQL database"),
            ({"shard": 2, "shards": 2}, "shard must be from 0 to 1"),
            ({"shards": 0}, "shards must be at least 1, not 0"),
            ({"shard": ""}, "shard must be a whole number, not ''"),
            ({"max_images": 0}, "max_images must be at least 1"),
            ({"requests_per_second": 0}, "requests_per_second must be above 0"),
        ],
    )
    def test_it_is_said_before_anything_is_paid(
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
            search(**{"pictures": arguments.pop("images", pictures), **arguments})
        assert emulator.statistics()["requests"] == {}

    def test_an_empty_folder_fails(self, emulator: Service, tmp_path: Path) -> None:
        with pytest.raises(AirflowFailException, match="has no pictures"):
            search(tmp_path)

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"password": ""}, "has no API key"),
            ({"password": API_KEY + "x"}, "connection 'yandex_vision_default', check its API key .*: Unknown api key"),
            ({"host": "not a url"}, "is not a URL"),
        ],
    )
    def test_a_connection_that_does_not_work_fails_and_says_why(
        self, pictures: Path, service: Service, connect: Callable[..., None], fields: dict[str, str], sentence: str
    ) -> None:
        from airflow_provider_yandex_vision.emulator.server import running

        with running(service) as url:
            connect(
                "yandex_vision_default", **{"conn_type": "yandex_vision", "password": API_KEY, "host": url, **fields}
            )
            with pytest.raises(AirflowFailException, match=sentence):
                search(pictures)
        assert searched(service) == 0

    def test_an_unknown_argument_is_refused(self) -> None:
        with pytest.raises((TypeError, Exception), match="imagess"):
            operator("x", imagess="y")


class TestAtParseTime:
    def test_nothing_happens_in_the_constructor(self) -> None:
        op = operator(
            "s3://no-such-connection@bucket/", table="bad name", yandex_vision_conn_id="typo", shard="{{ 1 }}"
        )
        assert op.images == "s3://no-such-connection@bucket/"

    def test_templated_fields_render(self, emulator: Service, pictures: Path) -> None:
        op = operator("file://{{ folder }}/", table="{{ t }}", shard="{{ n }}", shards="{{ n + 1 }}")
        values: Any = {"folder": str(pictures), "t": "copies", "n": 1}
        op.render_template_fields(values)
        assert (op.images, op.table, op.shard, op.shards) == (f"file://{pictures}/", "copies", "1", "2")

    def test_every_template_field_is_an_argument_kept_as_given(self) -> None:
        op = operator("x")
        assert all(hasattr(op, name) for name in op.template_fields)


def test_on_kill_stops_the_search(emulator: Service, pictures: Path) -> None:
    op = operator(pictures)
    op.on_kill()
    op.execute(context())
    op.on_kill()


def test_parsing_a_dag_loads_nothing_that_only_a_run_needs() -> None:
    program = (
        "import sys, airflow_provider_yandex_vision.operators.copy_search\n"
        "rooms = [f'airflow_provider_yandex_vision.{room}' for room in ('hooks', 'images', 'results', 'search', 'vision')]\n"
        "print([name for name in sys.modules if name.startswith(tuple(rooms))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_limits_of_an_image_are_the_hook_s() -> None:
    limits = YandexVisionHook().settings.limits
    task = operator("x")
    assert (task.max_image_bytes, task.max_request_bytes) == (limits.max_image_bytes, limits.max_request_bytes)
    assert task.yandex_vision_conn_id == YandexVisionHook.default_conn_name
