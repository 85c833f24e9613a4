"""The operator: pictures in object storage → copies on the web → XCom or a table.

Scheduler and workers parse DAGs all the time, so everything that only a run needs is imported by the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
    from airflow_provider_yandex_vision.operators.job import CopySearchJob


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
        max_image_bytes: int = 7_864_320,
        max_request_bytes: int = 20_000_000,
        convert_images: bool = False,
        max_xcom_images: int = 200,
        yandex_vision_conn_id: str = "yandex_vision_default",
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
        self._job: CopySearchJob | None = None

    @cached_property
    def hook(self) -> YandexVisionHook:
        from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook

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
        from airflow_provider_yandex_vision.operators.job import CopySearchJob

        self._job = CopySearchJob(self, context)
        return self._job.run()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Inputs: what was listed; outputs: the tables."""
        from airflow_provider_yandex_vision.operators.lineage import lineage

        return lineage(self.images, self.object_storage_conn_id, self.table, self.sql_conn_id)

    def on_kill(self) -> None:
        if self._job:
            self._job.stop()
