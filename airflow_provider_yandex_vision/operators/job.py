"""One run of the operator: listing, table, hook and manifest wired together."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_yandex_vision.images import list_images
from airflow_provider_yandex_vision.images.convert import require_pillow, to_accepted
from airflow_provider_yandex_vision.operators.manifest import check_sum, count_metrics, counts_of, failure, manifest_of
from airflow_provider_yandex_vision.sinks import ResultTable, Run, Selection
from airflow_provider_yandex_vision.sinks.engine import sql_engine
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    ConfigurationError,
    SearchStoppedError,
    TooManyImagesError,
)
from airflow_provider_yandex_vision.vision.messages import MAX_IMAGES_PER_REQUEST, Image
from airflow_provider_yandex_vision.vision.search import CopySearch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

COMMITTED_TOGETHER = 64 - MAX_IMAGES_PER_REQUEST
"""With the rest of a reply that may be ready besides, at most 64 results are paid and not committed."""


class CopySearchJob:
    """What the operator was told to do, done once.

    :param task: whose arguments are rendered by now.
    """

    def __init__(self, task: YandexVisionCopySearchOperator, context: Context) -> None:
        self._task = task
        self._context = context
        self._search: CopySearch | None = None
        self._stopped = False

    def run(self) -> dict[str, Any]:
        """:return: the manifest."""
        task = self._task
        with _failing_for_good(task.yandex_vision_conn_id), ExitStack() as opened:
            with self._log_group("Connections, table and listing"):
                self._check_arguments()
                opened.enter_context(closing(task.hook.get_conn()))
                table = opened.enter_context(self._open_table())
                selection = self._select(table)
            if task.plan_only:
                return self._plan(selection)
            manifest = self._run(selection, table)
        check_sum(manifest, selection)
        self._publish(manifest)
        error = failure(manifest, any_failed=task.fail_on_partial_error)
        if error:
            raise error
        return manifest

    def stop(self) -> None:
        """Stop the run: the search at once, and before it as soon as a listing under way has ended.

        What is committed stays. Safe to call from any thread.
        """
        self._stopped = True
        if self._search:
            self._search.close()

    @contextmanager
    def _log_group(self, title: str) -> Generator[None]:
        """Lines that Airflow's log viewer folds away."""
        self._task.log.info("::group::%s", title)
        try:
            yield
        finally:
            self._task.log.info("::endgroup::")

    def _check_arguments(self) -> None:
        task = self._task
        if task.convert_images:
            require_pillow()
        if task.table and not task.sql_conn_id:
            raise ConfigurationError(f"table {task.table!r} needs sql_conn_id: the database that it is in")
        if task.sql_conn_id and not task.table:
            raise ConfigurationError(f"sql_conn_id {task.sql_conn_id!r} needs table: where results go")
        if task.recheck_after is not None and not task.table:
            raise ConfigurationError("recheck_after needs table: without one nothing remembers what was searched")
        shard, shards = _whole_number("shard", task.shard), _whole_number("shards", task.shards)
        if shards < 1:
            raise ConfigurationError(f"shards must be at least 1, not {shards}")
        if not 0 <= shard < shards:
            raise ConfigurationError(f"shard must be from 0 to {shards - 1}, not {shard}")
        if task.max_images is not None and task.max_images < 1:
            raise ConfigurationError(f"max_images must be at least 1, not {task.max_images}")

    @contextmanager
    def _open_table(self) -> Generator[ResultTable | None]:
        task = self._task
        if not task.table or not task.sql_conn_id:
            yield None
            return
        engine = sql_engine(task.sql_conn_id)
        try:
            table = ResultTable(engine, task.table, _run_of(self._context, task.task_id))
            table.prepare(create=task.create_table)
            yield table
        finally:
            engine.dispose()

    def _select(self, table: ResultTable | None) -> Selection:
        task = self._task
        listed = list_images(task.images, task.object_storage_conn_id)
        images = _of_shard(self._until_stopped(listed), int(task.shard), int(task.shards))
        if table is not None:
            return Selection(images, table, recheck_after=task.recheck_after, max_images=task.max_images)
        if not task.plan_only:
            images = self._few_enough_for_xcom(images)
        return Selection(images, None, max_images=task.max_images)

    def _until_stopped(self, images: Iterable[Image]) -> Iterator[Image]:
        for image in images:
            self._check_stopped()
            yield image

    def _check_stopped(self) -> None:
        if self._stopped:
            raise SearchStoppedError("the run was stopped before it was complete")

    def _few_enough_for_xcom(self, images: Iterator[Image]) -> Iterator[Image]:
        task = self._task
        wanted = math.inf if task.max_images is None else task.max_images
        first = list(islice(images, task.max_xcom_images + 1))
        if len(first) > task.max_xcom_images and wanted > task.max_xcom_images:
            raise TooManyImagesError(
                f"there are more than {task.max_xcom_images} images, too many for XCom: "
                "give table and sql_conn_id, or raise max_xcom_images"
            )
        return chain(first, images)

    def _plan(self, selection: Selection) -> dict[str, Any]:
        task = self._task
        to_search = sum(1 for _ in selection)
        requests = math.ceil(to_search / MAX_IMAGES_PER_REQUEST)
        seconds = requests / task.hook.settings.requests_per_second
        task.log.info(
            "Plan: %s of %s images would be searched with %s requests, in %s at %s requests/s; nothing was sent",
            f"{to_search:,}",
            f"{selection.listed:,}",
            f"{requests:,}",
            timedelta(seconds=round(seconds)),
            task.hook.settings.requests_per_second,
        )
        return {
            "images": selection.listed,
            "skipped": selection.skipped,
            "to_search": to_search,
            "requests": requests,
            "seconds": seconds,
            "partial": selection.left_over > 0,
            "table": task.table,
        }

    def _run(self, selection: Selection, table: ResultTable | None) -> dict[str, Any]:
        task = self._task
        started = time.monotonic()
        known = partial(table.known, recheck_after=task.recheck_after) if table else None
        results: list[dict[str, Any]] = []
        convert = to_accepted if task.convert_images else None
        with closing(task.hook.search(selection, known=known, convert=convert)) as search:
            self._search = search
            self._check_stopped()
            try:
                for batch in search.batches(max_results=COMMITTED_TOGETHER):
                    if table:
                        table.write(batch)
                    else:
                        results += (result.to_dict() for result in batch)
            finally:
                count_metrics(search.counts)
        manifest = manifest_of(search.counts, selection, task.table, time.monotonic() - started)
        if table:
            return {**manifest, "new_matches": table.new_matches()}
        return {**manifest, "new_matches": manifest["matches"], "results": results}

    def _publish(self, manifest: dict[str, Any]) -> None:
        task = self._task
        counts = counts_of(manifest)
        task.log.info("Manifest: %s", counts)
        for outlet in task.outlets or ():
            self._context["outlet_events"][outlet].extra = counts


@contextmanager
def _failing_for_good(conn_id: str) -> Generator[None]:
    """Spare the task its retries where they cannot help.

    :param conn_id: the connection that was not let in, where that is the trouble.
    """
    try:
        yield
    except ConfigurationError as error:
        raise AirflowFailException(str(error)) from error
    except AccessError as error:
        raise AirflowFailException(
            f"the service does not let in connection {conn_id!r}, check its API key and the account's roles: {error}"
        ) from error


def _whole_number(name: str, value: int | str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}") from None


def _of_shard(images: Iterable[Image], shard: int, shards: int) -> Iterator[Image]:
    """Every image is of exactly one shard, the same in every run."""
    for image in images:
        digest = hashlib.sha256(image.uri.encode("utf-8", "surrogatepass")).digest()
        if int.from_bytes(digest[:8], "big") % shards == shard:
            yield image


def _run_of(context: Context, task_id: str) -> Run:
    task_instance = context.get("ti")
    if task_instance is None:
        return Run("", f"manual__{datetime.now(timezone.utc).isoformat()}", task_id)
    map_index = task_instance.map_index
    return Run(task_instance.dag_id, task_instance.run_id, task_id, -1 if map_index is None else map_index)
