"""The operator: pictures in object storage → copies on the web → XCom or a table."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta, timezone
from functools import cached_property, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images import list_images
from airflow_provider_yandex_vision.images.convert import require_pillow, to_accepted
from airflow_provider_yandex_vision.operators.manifest import check_sum, count_metrics, failure, manifest_of
from airflow_provider_yandex_vision.sinks import ResultTable, Run, Selection
from airflow_provider_yandex_vision.sinks.engine import sql_engine
from airflow_provider_yandex_vision.vision.errors import AccessError, ConfigurationError, TooManyImagesError
from airflow_provider_yandex_vision.vision.messages import MAX_CONTENT_BYTES, MAX_IMAGES_PER_REQUEST, Image
from airflow_provider_yandex_vision.vision.search import CopySearch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

COMMITTED_TOGETHER = 64 - MAX_IMAGES_PER_REQUEST
"""With the rest of a reply that may be ready besides, at most 64 results are paid and not committed."""


class YandexVisionCopySearchOperator(BaseOperator):
    """Find where copies of pictures are on the web.

    Every image ends in exactly one result: ``found``, ``none``, ``rejected`` (the file is at fault) or
    ``failed`` (another time may work). With a table, a retry goes on where the last attempt stopped.

    :param images: URL of a picture, a glob, a directory URL, a list of these, or another task's output;
        whatever ObjectStoragePath opens, such as ``s3://conn@bucket/catalog/*.jpg``. (templated)
    :param table: results go to this table and to ``<table>_matches``; None returns them through XCom. (templated)
    :param sql_conn_id: connection of the database that the table is in. (templated)
    :param create_table: create the tables where they are missing.
    :param recheck_after: an image that has not changed and was searched within this time is skipped;
        None has every run search every image.
    :param max_images: search no more than this many in a run; the manifest then says ``partial``.
    :param plan_only: count what would be searched, and spend nothing.
    :param shard: this task takes the images whose URI hashes to this number, from 0. (templated)
    :param shards: number of tasks that share the images, the rate and the window. (templated)
    :param fail_on_partial_error: fail the task when any image ended ``failed``; all of them failed always fails it.
    :param requests_per_second: of all shards together; the vendor's usual quota is 10.
    :param max_concurrent_requests: of all shards together.
    :param max_image_bytes: larger files are ``rejected`` without being sent.
    :param max_request_bytes: size of a request's body.
    :param convert_images: make JPEG of pictures that the service does not take, and scale down what is too large
        for it; needs the extra ``pillow``. Without, they are ``rejected``.
    :param max_xcom_images: without a table, more images than this are refused before anything is paid.
    :param yandex_vision_conn_id: connection of type ``yandex_vision``. (templated)
    :param object_storage_conn_id: connection for image URLs that name none themselves. (templated)
    """

    template_fields: Sequence[str] = (
        "images",
        "table",
        "sql_conn_id",
        "shard",
        "shards",
        "yandex_vision_conn_id",
        "object_storage_conn_id",
    )
    ui_color = "#ffdb4d"

    def __init__(
        self,
        *,
        images: Any,
        table: str | None = None,
        sql_conn_id: str | None = None,
        create_table: bool = True,
        recheck_after: timedelta | None = None,
        max_images: int | None = None,
        plan_only: bool = False,
        shard: int | str = 0,
        shards: int | str = 1,
        fail_on_partial_error: bool = False,
        requests_per_second: float = 10.0,
        max_concurrent_requests: int = 8,
        max_image_bytes: int = MAX_CONTENT_BYTES,
        max_request_bytes: int = 20_000_000,
        convert_images: bool = False,
        max_xcom_images: int = 200,
        yandex_vision_conn_id: str = YandexVisionHook.default_conn_name,
        object_storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.images = images
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.create_table = create_table
        self.recheck_after = recheck_after
        self.max_images = max_images
        self.plan_only = plan_only
        self.shard = shard
        self.shards = shards
        self.fail_on_partial_error = fail_on_partial_error
        self.requests_per_second = requests_per_second
        self.max_concurrent_requests = max_concurrent_requests
        self.max_image_bytes = max_image_bytes
        self.max_request_bytes = max_request_bytes
        self.convert_images = convert_images
        self.max_xcom_images = max_xcom_images
        self.yandex_vision_conn_id = yandex_vision_conn_id
        self.object_storage_conn_id = object_storage_conn_id
        self._search: CopySearch | None = None

    @cached_property
    def hook(self) -> YandexVisionHook:
        shards = int(self.shards)
        return YandexVisionHook(
            self.yandex_vision_conn_id,
            requests_per_second=self.requests_per_second / shards,
            max_concurrent_requests=math.ceil(self.max_concurrent_requests / shards),
            max_image_bytes=self.max_image_bytes,
            max_request_bytes=self.max_request_bytes,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the search.

        :return: the manifest: counts, and without a table the results.
        :raises AirflowFailException: a retry cannot help: configuration, access, nothing to search.
        :raises YandexVisionError: a retry may help.
        """
        with _failing_for_good(), ExitStack() as opened:
            with self._log_group("Connections, table and listing"):
                self._check_arguments()
                self.hook.get_conn()
                table = opened.enter_context(self._open_table(context))
                selection = self._select(table)
            if self.plan_only:
                return self._plan(selection)
            manifest = self._run(selection, table)
        check_sum(manifest, selection)
        self._publish(context, manifest)
        error = failure(manifest, any_failed=self.fail_on_partial_error)
        if error:
            raise error
        return manifest

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Inputs: what was listed; outputs: the tables."""
        from airflow_provider_yandex_vision.operators.lineage import lineage

        return lineage(self.images, self.object_storage_conn_id, self.table, self.sql_conn_id)

    def on_kill(self) -> None:
        if self._search:
            self._search.close()

    @contextmanager
    def _log_group(self, title: str) -> Generator[None]:
        """Lines that Airflow's log viewer folds away."""
        self.log.info("::group::%s", title)
        try:
            yield
        finally:
            self.log.info("::endgroup::")

    def _check_arguments(self) -> None:
        if self.convert_images:
            require_pillow()
        if self.table and not self.sql_conn_id:
            raise ConfigurationError(f"table {self.table!r} needs sql_conn_id: the database that it is in")
        if self.sql_conn_id and not self.table:
            raise ConfigurationError(f"sql_conn_id {self.sql_conn_id!r} needs table: where results go")
        if self.recheck_after is not None and not self.table:
            raise ConfigurationError("recheck_after needs table: without one nothing remembers what was searched")
        if not 0 <= int(self.shard) < int(self.shards):
            raise ConfigurationError(f"shard must be from 0 to {int(self.shards) - 1}, not {self.shard}")
        if self.max_images is not None and self.max_images < 1:
            raise ConfigurationError(f"max_images must be at least 1, not {self.max_images}")

    @contextmanager
    def _open_table(self, context: Context) -> Generator[ResultTable | None]:
        if not self.table or not self.sql_conn_id:
            yield None
            return
        engine = sql_engine(self.sql_conn_id)
        try:
            table = ResultTable(engine, self.table, _run_of(context, self.task_id))
            table.prepare(create=self.create_table)
            yield table
        finally:
            engine.dispose()

    def _select(self, table: ResultTable | None) -> Selection:
        listed = list_images(self.images, self.object_storage_conn_id)
        images = _of_shard(listed, int(self.shard), int(self.shards))
        if table is not None:
            return Selection(images, table, recheck_after=self.recheck_after, max_images=self.max_images)
        if not self.plan_only:
            images = self._few_enough_for_xcom(images)
        return Selection(images, None, max_images=self.max_images)

    def _few_enough_for_xcom(self, images: Iterator[Image]) -> Iterator[Image]:
        wanted = math.inf if self.max_images is None else self.max_images
        first = list(islice(images, self.max_xcom_images + 1))
        if len(first) > self.max_xcom_images and wanted > self.max_xcom_images:
            raise TooManyImagesError(
                f"there are more than {self.max_xcom_images} images, too many for XCom: "
                "give table and sql_conn_id, or raise max_xcom_images"
            )
        return chain(first, images)

    def _plan(self, selection: Selection) -> dict[str, Any]:
        to_search = sum(1 for _ in selection)
        requests = math.ceil(to_search / MAX_IMAGES_PER_REQUEST)
        seconds = requests / self.hook.settings.requests_per_second
        self.log.info(
            "Plan: %s of %s images would be searched with %s requests, in %s at %s requests/s; nothing was sent",
            f"{to_search:,}",
            f"{selection.listed:,}",
            f"{requests:,}",
            timedelta(seconds=round(seconds)),
            self.hook.settings.requests_per_second,
        )
        return {
            "images": selection.listed,
            "skipped": selection.skipped,
            "to_search": to_search,
            "requests": requests,
            "seconds": seconds,
            "partial": selection.left_over > 0,
            "table": self.table,
        }

    def _run(self, selection: Selection, table: ResultTable | None) -> dict[str, Any]:
        started = time.monotonic()
        known = partial(table.known, recheck_after=self.recheck_after) if table else None
        results: list[dict[str, Any]] = []
        convert = to_accepted if self.convert_images else None
        with closing(self.hook.search(selection, known=known, convert=convert)) as search:
            self._search = search
            try:
                for batch in search.batches(max_results=COMMITTED_TOGETHER):
                    if table:
                        table.write(batch)
                    else:
                        results += (result.to_dict() for result in batch)
            finally:
                count_metrics(search.counts)
        manifest = manifest_of(search.counts, selection, self.table, time.monotonic() - started)
        if table:
            return {**manifest, "new_matches": table.new_matches()}
        return {**manifest, "new_matches": manifest["matches"], "results": results}

    def _publish(self, context: Context, manifest: dict[str, Any]) -> None:
        counts = {name: value for name, value in manifest.items() if name != "results"}
        self.log.info("Manifest: %s", counts)
        for outlet in self.outlets or ():
            context["outlet_events"][outlet].extra = counts


@contextmanager
def _failing_for_good() -> Generator[None]:
    """Spare the task its retries where they cannot help."""
    try:
        yield
    except (ConfigurationError, AccessError) as error:
        raise AirflowFailException(str(error)) from error


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
