"""One attempt of a task: list the images, search those that are due, store the results. Needs no operator."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from airflow_provider_yandex_vision.compat import AirflowSkipException
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images.convert import require_pillow, to_accepted
from airflow_provider_yandex_vision.images.ignored import Ignored
from airflow_provider_yandex_vision.images.location import Url
from airflow_provider_yandex_vision.images.urls import list_images, urls_of
from airflow_provider_yandex_vision.operators.arguments import check_types
from airflow_provider_yandex_vision.operators.canary import canary_search, check_canary
from airflow_provider_yandex_vision.operators.open_matches import open_findings, to_dict
from airflow_provider_yandex_vision.operators.summary import Problems, count_metrics, log_summary, summary_of
from airflow_provider_yandex_vision.operators.xcom import bounded
from airflow_provider_yandex_vision.results.database import sql_engine
from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.results.findings import Findings
from airflow_provider_yandex_vision.results.quota import TableLedger
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.silence import Silence
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.ledger import NoLedger, Share
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import VisionClient
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, SearchStoppedError
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Image
from airflow_provider_yandex_vision.vision.sites import parse_sites

log = logging.getLogger(__name__)

MAX_UNCOMMITTED_RESULTS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """What to search and where results go, as documented by the operator.

    :raises ConfigurationError: a value is invalid, alone or in combination.
    """

    images: Any
    table: str | None = None
    sql_conn_id: str | None = None
    create_table: bool = True
    recheck_after: timedelta | None = None
    own_sites: Any = ()
    max_images: int | None = None
    plan_only: bool = False
    canary: str | None = None
    shard: int | str = 0
    shards: int | str = 1
    max_failed_share: float = 0.1
    requests_per_second: float = defaults.REQUESTS_PER_SECOND
    max_concurrent_requests: int = defaults.MAX_CONCURRENT_REQUESTS
    max_image_bytes: int = defaults.MAX_IMAGE_BYTES
    max_request_bytes: int = defaults.MAX_REQUEST_BYTES
    convert_images: bool = False
    max_xcom_images: int = 200
    yandex_vision_conn_id: str = YandexVisionHook.default_conn_name
    object_storage_conn_id: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        parse_sites(self.own_sites)
        if self.convert_images:
            require_pillow()
        if bool(self.table) != bool(self.sql_conn_id):
            raise ConfigurationError(f"set both or neither: table={self.table!r}, sql_conn_id={self.sql_conn_id!r}")
        if self.recheck_after is not None and not self.table:
            raise ConfigurationError("recheck_after needs table, which remembers earlier searches")
        for name in ("max_images", "max_image_bytes", "max_request_bytes", "max_xcom_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {value}")
        if not 0 <= self.max_failed_share <= 1:
            raise ConfigurationError(f"max_failed_share must be from 0 to 1, not {self.max_failed_share}")
        try:
            in_range = 0 <= int(self.shard) < int(self.shards)
        except (TypeError, ValueError):
            in_range = False
        if not in_range:
            raise ConfigurationError(f"shard must be 0 to shards - 1: shard={self.shard!r}, shards={self.shards!r}")

    @property
    def settings(self) -> Settings:
        """Of all shards together."""
        return Settings(
            requests_per_second=self.requests_per_second,
            max_concurrent_requests=self.max_concurrent_requests,
            max_image_bytes=self.max_image_bytes,
            max_request_bytes=self.max_request_bytes,
            convert=to_accepted if self.convert_images else None,
        )

    @property
    def sites(self) -> frozenset[str]:
        """Own ones, as :func:`parse_site` spells them."""
        return frozenset(parse_sites(self.own_sites))

    @property
    def share(self) -> Share:
        """Of this shard, if all shards run at once."""
        return Share(int(self.shard), int(self.shards))


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
        self._findings: Findings | None = None
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
            table, ledger = self._open_table(resources)
            due = self._due(urls, table, ledger)
            if self._parameters.plan_only:
                return self._plan(due, client.max_images_per_request)
            return self._search_due(client, due, table, ledger)

    def stop(self) -> None:
        """Stop the search at once, or a listing as soon as it returns. Safe to call from any thread."""
        self._stopped = True
        if self._search:
            self._search.close()

    def _connect(self) -> VisionClient:
        connections = self.settings.max_concurrent_requests
        return YandexVisionHook(self._parameters.yandex_vision_conn_id, max_concurrent_requests=connections).get_conn()

    def _open_table(self, resources: ExitStack) -> tuple[ResultTable | None, TableLedger | None]:
        """The table, and the ledger of the tasks that search for it."""
        parameters = self._parameters
        if not parameters.table or not parameters.sql_conn_id:
            return None, None
        engine = sql_engine(parameters.sql_conn_id)
        resources.callback(engine.dispose)
        table = ResultTable(engine, parameters.table, self._task)
        table.prepare(create=parameters.create_table)
        if parameters.plan_only:
            return table, None
        self._findings = Findings(engine, parameters.table)
        self._findings.decisions.sync_own_sites(parameters.sites, f"{self._task.dag_id}.{self._task.task_id}")
        self._findings.decisions.warn_of_unknown()
        ledger = TableLedger(
            engine,
            table,
            parameters.yandex_vision_conn_id,
            parameters.share,
            run_began=self._began,
            recheck_after=parameters.recheck_after,
        )
        resources.callback(ledger.close)
        ledger.open()
        return table, ledger

    def _due(self, urls: list[Url], table: ResultTable | None, ledger: TableLedger | None) -> DueImages:
        parameters = self._parameters
        recheck_after, max_images = parameters.recheck_after, parameters.max_images
        if ledger:
            recheck_after = ledger.fresh_for
            max_images = None if max_images is None else max(0, max_images - ledger.paid)
        listed = list_images(
            urls,
            parameters.object_storage_conn_id,
            convert=parameters.convert_images,
            max_image_bytes=parameters.max_image_bytes,
            ignored=self._ignored,
        )
        images = self._of_shard(listed)
        if table is None and not parameters.plan_only:
            images = self._few_enough_for_xcom(images)
        return DueImages(images, table, recheck_after=recheck_after, max_images=max_images)

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

    def _plan(self, due: DueImages, images_per_request: int) -> dict[str, Any]:
        to_search = sum(1 for _ in due)
        requests = math.ceil(to_search / images_per_request)
        seconds = requests / self._parameters.share.rate(self.settings.requests_per_second)
        duration = timedelta(seconds=round(seconds))
        log.info("Plan: %d of %d images in %d requests, %s; nothing sent", to_search, due.listed, requests, duration)
        summary = summary_of(Counts(requests=requests), due, self._parameters.table, seconds, planned=to_search)
        return {
            **summary,
            "ignored": self._ignored.count,
            **dict.fromkeys(("new_matches", "open_matches", "new_open_matches"), 0),
            **({} if self._parameters.table else {"results": []}),
        }

    def _search_due(
        self, client: VisionClient, due: DueImages, table: ResultTable | None, ledger: TableLedger | None
    ) -> dict[str, Any]:
        started = time.monotonic()
        own_sites = self._parameters.sites
        results: list[CopySearchResult] = []
        undecided: set[tuple[str, str]] = set()
        problems = Problems()
        others = ledger or NoLedger(self._parameters.share)
        silence = Silence(table.lookup) if table else None
        images = self._after_canary(client, due)
        with closing(CopySearch(client, images, self.settings, ledger=others)) as search:
            self._search = search
            self._check_stopped()
            try:
                # A full batch may leave part of a reply, which is paid for as well.
                for batch in search.batches(max_results=MAX_UNCOMMITTED_RESULTS - client.max_images_per_request):
                    if table and ledger and silence:
                        search.counts.refuse(table.write(silence.admit(batch)))
                        # Also what is held back: two tasks could wait for each other's.
                        ledger.settle(batch)
                        silence.check()
                    else:
                        results += map(bounded, batch)
                        undecided |= open_findings(batch, own_sites)
                    problems.note(batch)
                if table and silence:
                    table.write(silence.release())
            finally:
                count_metrics(search.counts)
        summary = summary_of(search.counts, due, self._parameters.table, time.monotonic() - started)
        summary["ignored"] = self._ignored.count
        summary["new_matches"] = table.new_matches() if table else search.counts.matches
        open_matches = self._findings.count_open(self._task) if self._findings else (len(undecided),) * 2
        summary["open_matches"], summary["new_open_matches"] = open_matches
        self.still_gone = table.still_gone() if table else 0
        log_summary(summary, problems)
        return summary if table else {**summary, "results": [to_dict(result, own_sites) for result in results]}
