"""The operator: from images in object storage to copies on the web, in XCom or in a table.

The scheduler and the workers parse DAGs all the time, so whatever only a run needs is imported by the run.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_yandex_vision.search import defaults

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_yandex_vision.operators.run import CopySearchRun


class YandexVisionCopySearchOperator(BaseOperator):
    """Find where copies of images are on the web.

    Every image ends in exactly one result: ``found``, ``none``, ``rejected`` (the file is at fault) or ``failed``
    (a later run may work). With a table, a retry continues where the last attempt stopped.

    :param images: URL of an image, a glob, a directory URL, a list of these, or another task's output: anything that
        ObjectStoragePath opens, such as ``s3://conn@bucket/catalog/*.jpg``. (templated)
    :param table: write results to this table and to ``<table>_matches``; None returns them through XCom. (templated)
    :param sql_conn_id: connection of the database with the table. (templated)
    :param create_table: create the tables if they are missing.
    :param recheck_after: skip an image that has not changed and was searched within this time; None searches every
        image in every run.
    :param max_images: search at most this many in a run; the summary then says ``partial``.
    :param plan_only: count what would be searched, and spend nothing.
    :param shard: this task takes the images whose URI hashes to this number, counted from 0. (templated)
    :param shards: number of tasks that share the images, the rate and the window. (templated)
    :param fail_on_partial_error: fail the task if any image ended ``failed``; it always fails if all did.
    :param requests_per_second: of all shards together; a starting point that adapts downwards if the service
        throttles.
    :param max_concurrent_requests: requests in flight at once, of all shards together.
    :param max_image_bytes: larger files are ``rejected`` without being sent.
    :param max_request_bytes: size of a request's body.
    :param convert_images: make JPEG of images that the service does not accept, and scale down those that are too
        large for it; needs the extra ``pillow``. Otherwise they are ``rejected``.
    :param max_xcom_images: without a table, refuse more images than this before anything is paid.
    :param yandex_vision_conn_id: connection of type ``yandex_vision``. (templated)
    :param object_storage_conn_id: connection for image URLs that do not name one. (templated)
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
        requests_per_second: float = defaults.REQUESTS_PER_SECOND,
        max_concurrent_requests: int = defaults.MAX_CONCURRENT_REQUESTS,
        max_image_bytes: int = defaults.MAX_IMAGE_BYTES,
        max_request_bytes: int = defaults.MAX_REQUEST_BYTES,
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
        self._run: CopySearchRun | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the search.

        :return: the summary: counts and, without a table, the results.
        :raises AirflowFailException: a retry cannot help: wrong configuration, access denied, no images.
        :raises YandexVisionError: a retry may help.
        """
        from airflow_provider_yandex_vision.operators.run import CopySearchRun, Parameters, task_key
        from airflow_provider_yandex_vision.operators.summary import check_failed, counts_of

        with self._failing_without_retry():
            parameters = Parameters(**{name: getattr(self, name) for name in Parameters.names()})
            self._run = CopySearchRun(parameters, task_key(context, self.task_id))
            summary = self._run.run()
        if not self.plan_only:
            for outlet in self.outlets or ():
                context["outlet_events"][outlet].extra = counts_of(summary)
            check_failed(summary, tolerate=not self.fail_on_partial_error)
        return summary

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Inputs: what was listed. Outputs: the tables."""
        from airflow_provider_yandex_vision.operators.lineage import lineage

        return lineage(self.images, self.object_storage_conn_id, self.table, self.sql_conn_id)

    def on_kill(self) -> None:
        if self._run:
            self._run.stop()

    @contextmanager
    def _failing_without_retry(self) -> Generator[None]:
        """Spare the task its retries if they cannot help."""
        from airflow_provider_yandex_vision.vision.errors import AccessError, ConfigurationError

        try:
            yield
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from error
        except AccessError as error:
            raise AirflowFailException(
                f"access denied for connection {self.yandex_vision_conn_id!r}: check its API key, role, folder and "
                f"host: {error}"
            ) from error
