"""One run of the copy search: listing, table, hook and summary wired together."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from typing import Any

from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images import list_images
from airflow_provider_yandex_vision.images.convert import require_pillow, to_accepted
from airflow_provider_yandex_vision.operators.summary import count_metrics, counts_of, summary_of
from airflow_provider_yandex_vision.results import DueImages, ResultTable, TaskKey
from airflow_provider_yandex_vision.results.database import sql_engine
from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import VisionClient
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, SearchStoppedError, TooManyImagesError
from airflow_provider_yandex_vision.vision.models import Image, utc_now

log = logging.getLogger(__name__)

MAX_UNCOMMITTED = 64
"""Results that are paid for and not committed yet, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """What to search and where results go, as documented by the operator.

    :raises ConfigurationError: a parameter makes no sense, alone or with another.
    """

    images: Any
    table: str | None = None
    sql_conn_id: str | None = None
    create_table: bool = True
    recheck_after: timedelta | None = None
    max_images: int | None = None
    plan_only: bool = False
    shard: int | str = 0
    shards: int | str = 1
    requests_per_second: float = defaults.REQUESTS_PER_SECOND
    max_concurrent_requests: int = defaults.MAX_CONCURRENT_REQUESTS
    max_image_bytes: int = defaults.MAX_IMAGE_BYTES
    max_request_bytes: int = defaults.MAX_REQUEST_BYTES
    convert_images: bool = False
    max_xcom_images: int = 200
    yandex_vision_conn_id: str = YandexVisionHook.default_conn_name
    object_storage_conn_id: str | None = None

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    def __post_init__(self) -> None:
        if self.convert_images:
            require_pillow()
        if self.table and not self.sql_conn_id:
            raise ConfigurationError(f"table {self.table!r} needs sql_conn_id, the connection of its database")
        if self.sql_conn_id and not self.table:
            raise ConfigurationError(f"sql_conn_id {self.sql_conn_id!r} needs table, the name of the results table")
        if self.recheck_after is not None and not self.table:
            raise ConfigurationError("recheck_after needs table: without one, nothing remembers earlier searches")
        shard, shards = _whole_number("shard", self.shard), _whole_number("shards", self.shards)
        if shards < 1:
            raise ConfigurationError(f"shards must be at least 1, not {shards}")
        if not 0 <= shard < shards:
            raise ConfigurationError(f"shard must be from 0 to {shards - 1}, not {shard}")
        if self.max_images is not None and self.max_images < 1:
            raise ConfigurationError(f"max_images must be at least 1, not {self.max_images}")

    @property
    def settings(self) -> Settings:
        """With this shard's part of the rate and the window."""
        shards = int(self.shards)
        return Settings(
            requests_per_second=self.requests_per_second / shards,
            max_concurrent_requests=math.ceil(self.max_concurrent_requests / shards),
            max_image_bytes=self.max_image_bytes,
            max_request_bytes=self.max_request_bytes,
            convert=to_accepted if self.convert_images else None,
        )


class CopySearchRun:
    """One attempt of a task that searches.

    :param task: under whose name the rows are written.
    :param settings: of the search, in place of those that follow from the parameters.
    """

    def __init__(self, parameters: Parameters, task: TaskKey, settings: Settings | None = None) -> None:
        self._parameters = parameters
        self._settings = settings or parameters.settings
        self._task = task
        self._search: CopySearch | None = None
        self._stopped = False

    def run(self) -> dict[str, Any]:
        """:return: the summary."""
        with ExitStack() as resources:
            with _log_group("Connections, table and listing"):
                client = resources.enter_context(closing(self._connect()))
                table = resources.enter_context(self._open_table())
                due = self._due(table)
            if self._parameters.plan_only:
                return self._plan(due, client.max_images_per_request)
            return self._run(client, due, table)

    def stop(self) -> None:
        """Stop the search at once, or a listing as soon as it returns. What is committed stays.

        Safe to call from any thread.
        """
        self._stopped = True
        if self._search:
            self._search.close()

    def _connect(self) -> VisionClient:
        return YandexVisionHook(
            self._parameters.yandex_vision_conn_id,
            max_concurrent_requests=self._settings.max_concurrent_requests,
        ).get_conn()

    @contextmanager
    def _open_table(self) -> Generator[ResultTable | None]:
        name, sql_conn_id = self._parameters.table, self._parameters.sql_conn_id
        if not name or not sql_conn_id:
            yield None
            return
        engine = sql_engine(sql_conn_id)
        try:
            table = ResultTable(engine, name, self._task)
            table.prepare(create=self._parameters.create_table)
            yield table
        finally:
            engine.dispose()

    def _due(self, table: ResultTable | None) -> DueImages:
        parameters = self._parameters
        listed = list_images(parameters.images, parameters.object_storage_conn_id)
        images = _of_shard(self._until_stopped(listed), int(parameters.shard), int(parameters.shards))
        if table is None and not parameters.plan_only:
            images = self._few_enough_for_xcom(images)
        return DueImages(images, table, recheck_after=parameters.recheck_after, max_images=parameters.max_images)

    def _until_stopped(self, images: Iterable[Image]) -> Iterator[Image]:
        for image in images:
            self._check_stopped()
            yield image

    def _check_stopped(self) -> None:
        if self._stopped:
            raise SearchStoppedError("the run was stopped before it was complete")

    def _few_enough_for_xcom(self, images: Iterator[Image]) -> Iterator[Image]:
        max_images, max_xcom_images = self._parameters.max_images, self._parameters.max_xcom_images
        first = list(islice(images, max_xcom_images + 1))
        if len(first) > max_xcom_images and (max_images is None or max_images > max_xcom_images):
            raise TooManyImagesError(
                f"there are more than {max_xcom_images} images, too many for XCom: "
                "set table and sql_conn_id, or raise max_xcom_images"
            )
        return chain(first, images)

    def _plan(self, due: DueImages, images_per_request: int) -> dict[str, Any]:
        to_search = sum(1 for _ in due)
        requests = math.ceil(to_search / images_per_request)
        rate = self._settings.requests_per_second
        log.info(
            "Plan: %s of %s images would be searched with %s requests, in %s at %s requests/s; nothing was sent",
            f"{to_search:,}",
            f"{due.listed:,}",
            f"{requests:,}",
            timedelta(seconds=round(requests / rate)),
            rate,
        )
        return {
            "images": due.listed,
            "skipped": due.skipped,
            "to_search": to_search,
            "requests": requests,
            "seconds": requests / rate,
            "partial": due.left_over > 0,
            "table": self._parameters.table,
        }

    def _run(self, client: VisionClient, due: DueImages, table: ResultTable | None) -> dict[str, Any]:
        started = time.monotonic()
        known = partial(table.known, recheck_after=self._parameters.recheck_after) if table else None
        results: list[dict[str, Any]] = []
        # A reply that is complete when a batch of results is full comes on top of it.
        max_results = MAX_UNCOMMITTED - client.max_images_per_request
        with closing(CopySearch(client, due, self._settings, known=known)) as search:
            self._search = search
            self._check_stopped()
            try:
                for batch in search.batches(max_results=max_results):
                    if table:
                        table.write(batch)
                    else:
                        results += (result.to_dict() for result in batch)
            finally:
                count_metrics(search.counts)
        summary = summary_of(search.counts, due, self._parameters.table, time.monotonic() - started)
        if table:
            summary = {**summary, "new_matches": table.new_matches()}
        else:
            summary = {**summary, "new_matches": summary["matches"], "results": results}
        log.info("Summary: %s", counts_of(summary))
        return summary


@contextmanager
def _log_group(title: str) -> Generator[None]:
    """Lines that Airflow's log viewer folds away."""
    log.info("::group::%s", title)
    try:
        yield
    finally:
        log.info("::endgroup::")


def _of_shard(images: Iterable[Image], shard: int, shards: int) -> Iterator[Image]:
    """Every image belongs to exactly one shard, the same in every run."""
    for image in images:
        digest = hashlib.sha256(image.uri.encode("utf-8", "surrogatepass")).digest()
        if int.from_bytes(digest[:8], "big") % shards == shard:
            yield image


def task_key(context: Any, task_id: str) -> TaskKey:
    """
    :param context: of the task, as Airflow passes it to ``execute``.
    """
    task_instance = context.get("ti")
    if task_instance is None:
        return TaskKey("", f"manual__{utc_now().isoformat()}", task_id)
    map_index = task_instance.map_index
    return TaskKey(task_instance.dag_id, task_instance.run_id, task_id, -1 if map_index is None else map_index)


def _whole_number(name: str, value: int | str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}") from None
