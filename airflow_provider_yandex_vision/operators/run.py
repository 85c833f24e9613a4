"""One attempt of a task: list the images, search those that are due, store the results. Needs no operator."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from airflow_provider_yandex_vision.compat import AirflowSkipException
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images.ignored import Ignored
from airflow_provider_yandex_vision.images.location import Url
from airflow_provider_yandex_vision.images.urls import list_images, urls_of
from airflow_provider_yandex_vision.operators.canary import canary_search, check_canary
from airflow_provider_yandex_vision.operators.parameters import Parameters
from airflow_provider_yandex_vision.operators.stores import Store, TableStore, XComStore
from airflow_provider_yandex_vision.operators.summary import Problems, count_metrics, log_summary, summary_of
from airflow_provider_yandex_vision.results.database import sql_engine
from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import VisionClient
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, SearchStoppedError
from airflow_provider_yandex_vision.vision.models import Image

log = logging.getLogger(__name__)

MAX_UNCOMMITTED_RESULTS = 64


class CopySearchRun:
    """One attempt. Run it once.

    ``still_gone`` is the number of failed images that did not exist in an earlier run either.

    :param task: the task instance that the rows belong to.
    :param settings: of the search, in place of those that follow from the parameters.
    :param began: start of the DAG run, if known.
    """

    def __init__(
        self, parameters: Parameters, task: TaskKey, settings: Settings | None = None, began: datetime | None = None
    ) -> None:
        self._parameters = parameters
        self.settings = settings or parameters.settings
        self._task = task
        self._began = began
        self._ignored = Ignored()
        self.still_gone = 0
        self._search: CopySearch | None = None
        self._stopped = False

    def run(self) -> dict[str, Any]:
        """:return: the summary.

        :raises AirflowSkipException: ``images`` is an empty list; nothing was opened.
        """
        urls = urls_of(self._parameters.images)
        if not urls:
            raise AirflowSkipException("images is an empty list: there is nothing to search")
        with ExitStack() as resources:
            client = resources.enter_context(closing(self._connect()))
            store = self._open_store(resources)
            due = self._due(urls, store)
            if self._parameters.plan_only:
                return self._plan(due, store, client.max_images_per_request)
            return self._search_due(client, due, store)

    def stop(self) -> None:
        """Stop the search at once, or a listing as soon as it returns. Safe to call from any thread."""
        self._stopped = True
        if self._search:
            self._search.close()

    def _connect(self) -> VisionClient:
        connections = self.settings.max_concurrent_requests
        return YandexVisionHook(self._parameters.yandex_vision_conn_id, max_concurrent_requests=connections).get_conn()

    def _open_store(self, resources: ExitStack) -> Store:
        parameters = self._parameters
        if not parameters.table or not parameters.sql_conn_id:
            return XComStore(parameters)
        engine = sql_engine(parameters.sql_conn_id)
        resources.callback(engine.dispose)
        store = TableStore(engine, parameters, self._task, self._began)
        if not parameters.plan_only:
            resources.callback(store.close)
            store.open()
        return store

    def _due(self, urls: list[Url], store: Store) -> DueImages:
        parameters = self._parameters
        listed = list_images(
            urls,
            parameters.object_storage_conn_id,
            convert=parameters.convert_images,
            max_image_bytes=parameters.max_image_bytes,
            ignored=self._ignored,
        )
        images = self._of_shard(listed)
        if store.table is None and not parameters.plan_only:
            images = self._few_enough_for_xcom(images)
        max_images = parameters.max_images
        budget = None if max_images is None else max(0, max_images - store.paid)
        return DueImages(images, store.table, recheck_after=store.fresh_for, max_images=budget)

    def _of_shard(self, images: Iterable[Image]) -> Iterator[Image]:
        """Every image belongs to exactly one shard, the same in every run."""
        shard, shards = int(self._parameters.shard), int(self._parameters.shards)
        for image in images:
            self._check_stopped()
            digest = hashlib.sha256(image.uri.encode("utf-8", "surrogatepass")).digest()
            if int.from_bytes(digest[:8], "big") % shards == shard:
                yield image

    def _few_enough_for_xcom(self, images: Iterator[Image]) -> Iterator[Image]:
        max_images, max_xcom_images = self._parameters.max_images, self._parameters.max_xcom_images
        first = list(islice(images, max_xcom_images + 1))
        if len(first) > max_xcom_images and (max_images is None or max_images > max_xcom_images):
            raise ConfigurationError(f"more than {max_xcom_images} images for XCom: set table or raise max_xcom_images")
        return chain(first, images)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise SearchStoppedError("the run was stopped before it was complete")

    def _after_canary(self, client: VisionClient, due: DueImages) -> Iterable[Image]:
        """The images that are due. The canary is searched first, if there are any."""
        url = self._parameters.canary
        if url is None:
            return due
        images = iter(due)
        first = list(islice(images, 1))
        if first:
            with closing(canary_search(client, url, self._parameters.object_storage_conn_id, self.settings)) as search:
                self._search = search
                self._check_stopped()
                check_canary(*search)
        return chain(first, images)

    def _plan(self, due: DueImages, store: Store, images_per_request: int) -> dict[str, Any]:
        to_search = sum(1 for _ in due)
        requests = math.ceil(to_search / images_per_request)
        seconds = requests / self._parameters.share.rate(self.settings.requests_per_second)
        duration = timedelta(seconds=round(seconds))
        log.info("Plan: %d of %d images in %d requests, %s; nothing sent", to_search, due.listed, requests, duration)
        summary = summary_of(Counts(requests=requests), due, self._parameters.table, seconds, planned=to_search)
        return {**summary, "ignored": self._ignored.count, **store.summary()}

    def _search_due(self, client: VisionClient, due: DueImages, store: Store) -> dict[str, Any]:
        started = time.monotonic()
        problems = Problems()
        images = self._after_canary(client, due)
        with closing(CopySearch(client, images, self.settings, ledger=store.ledger)) as search:
            self._search = search
            self._check_stopped()
            try:
                # A full batch may leave part of a reply, which is paid for as well.
                for batch in search.batches(max_results=MAX_UNCOMMITTED_RESULTS - client.max_images_per_request):
                    search.counts.refuse(store.write(batch))
                    problems.note(batch)
                search.counts.refuse(store.finish())
            finally:
                count_metrics(search.counts)
        self.still_gone = store.still_gone
        summary = summary_of(search.counts, due, self._parameters.table, time.monotonic() - started)
        summary = {**summary, "ignored": self._ignored.count, **store.summary()}
        log_summary(summary, problems)
        return summary
