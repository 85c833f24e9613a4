"""The operator. DAGs are parsed all the time, so what only a run needs is imported by the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_yandex_vision.compat import AirflowFailException, BaseOperator, Context
from airflow_provider_yandex_vision.search import defaults

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_yandex_vision.operators.run import CopySearchRun


class YandexVisionCopySearchOperator(BaseOperator):
    """Find where copies of images are on the web.

    Every image ends in exactly one result:

    - ``found`` or ``none``: Yandex Vision found copies, or none.
    - ``rejected``: the file is at fault, for example not an image. Searching it again is pointless.
    - ``failed``: the storage or the service gave up after all attempts. A later run may succeed.

    A bad file never affects other files, and identical files are billed once. With ``table``, a retry skips the images
    that earlier attempts finished. Wrong parameters or connections fail the task before anything is billed, and
    without retries. The task returns a summary: counts and, without ``table``, the ``results``.

    :param images: URL of an image, a directory or a glob (``*``, ``**``), a list of these, or another task's output:
        ``s3://conn@bucket/catalog/*.jpg``, ``file:///data/``, ``https://example.com/a.jpg``, or any storage that
        Airflow can attach.

        - A directory stands for its JPEG and PNG files; in a list, its URL must end with a slash. What it holds
          besides is counted in the summary as ``ignored``.
        - ``{"s3://bucket/": keys}`` takes keys as another task lists them. Keys alone (``catalog/a.jpg``) are in the
          bucket that ``object_storage_conn_id`` names in its extra, ``service_config.s3.bucket_name``.
        - ``*`` is a wildcard everywhere, but not in the keys of ``{"s3://bucket/": keys}``.
        - On the web, each image is named. Only public addresses are read, and those in the networks that Airflow's
          configuration allows: section ``yandex_vision``, option ``allowed_networks``.
        - An empty list skips the task. An empty directory, and a glob that matches nothing, fail it. (templated)
    :param table: write one row per image to this table, and one per page that shows a copy to ``<table>_matches``.
        None returns the results through XCom. (templated)
    :param sql_conn_id: connection of the database with ``table``. (templated)
    :param create_table: create the tables if they are missing.
    :param recheck_after: skip images that were searched within this time and have not changed since; needs ``table``.
        None searches every image in every run.
    :param own_sites: sites of your own, or hosts, with all below them: matches there are never open. A list, or text
        with commas or lines. With ``table``, each becomes a decision ``own`` in ``<table>_decisions``, which is taken
        back when the site leaves the list; what a person decided stays. (templated)
    :param max_images: search at most this many images per run. The summary says ``partial`` if some are left for
        another run; with ``table``, they come first in it, and what killed attempts have paid for counts.
    :param plan_only: only count the images and requests, and estimate the time. Nothing is sent or billed.
    :param canary: URL of an image that surely has copies. It is searched first, and billed, in each attempt that has
        images to search; it gets no row. If no copies of it are found, the task fails before anything else is paid
        for. (templated)
    :param shard: number of this task among ``shards``, from 0. Each image belongs to one shard, by the hash of its URI:
        ``.partial(…, shards=8).expand(shard=list(range(8)))``. (templated)
    :param shards: number of tasks that share the images. (templated)
    :param max_failed_share: fail the task if a larger share of the images searched ended ``failed``, not counting
        ``rejected`` ones and files that were already missing in an earlier run; 0 tolerates none.
    :param requests_per_second: of all running tasks with the same connection and ``table`` together, each of which has
        an equal share; without ``table``, of all shards. Reduced automatically while the service throttles.
    :param max_concurrent_requests: requests in flight, of the same tasks together.
    :param max_image_bytes: reject larger files without sending them.
    :param max_request_bytes: size of one request's body.
    :param convert_images: convert images that the service does not accept to JPEG, and scale down those that are too
        large, instead of rejecting them; needs the extra ``pillow``. A directory then stands for its WebP, TIFF, BMP
        and GIF files as well.
    :param max_xcom_images: without ``table``, fail before anything is sent if there are more images than this.
    :param yandex_vision_conn_id: connection of type ``yandex_vision``. (templated)
    :param object_storage_conn_id: connection for image URLs that do not name one. (templated)
    """

    template_fields: Sequence[str] = (
        "images",
        "table",
        "sql_conn_id",
        "own_sites",
        "canary",
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
        own_sites: Any = (),
        max_images: int | None = None,
        plan_only: bool = False,
        canary: str | None = None,
        shard: int | str = 0,
        shards: int | str = 1,
        max_failed_share: float = 0.1,
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
        self.own_sites = own_sites
        self.max_images = max_images
        self.plan_only = plan_only
        self.canary = canary
        self.shard = shard
        self.shards = shards
        self.max_failed_share = max_failed_share
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
        """Search the images and return the summary.

        :raises AirflowFailException: a retry cannot help.
        :raises YandexVisionError: a retry may help.
        """
        from airflow_provider_yandex_vision.operators.summary import check_failed
        from airflow_provider_yandex_vision.vision.errors import AccessError, ConfigurationError, CopySearchOffError

        try:
            self._run = self._new_run(context)
            summary = self._run.run()
        except (ConfigurationError, CopySearchOffError) as error:
            raise AirflowFailException(str(error)) from None
        except AccessError as error:
            denied = f"access denied for connection {self.yandex_vision_conn_id!r}"
            raise AirflowFailException(f"{denied}: check its credentials, role, folder and host: {error}") from None
        if self.plan_only:
            return summary
        counts = {name: value for name, value in summary.items() if name != "results"}  # these quote the web
        for outlet in self.outlets or ():
            context["outlet_events"][outlet].extra = counts
        check_failed(summary, self.max_failed_share, self._run.still_gone)
        return summary

    def on_kill(self) -> None:
        if self._run:
            self._run.stop()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Inputs: what was listed. Outputs: the tables."""
        from airflow_provider_yandex_vision.operators.lineage import lineage

        return lineage(self.images, self.object_storage_conn_id, self.table, self.sql_conn_id)

    def _new_run(self, context: Context) -> CopySearchRun:
        from airflow_provider_yandex_vision.operators.context import run_began, task_key
        from airflow_provider_yandex_vision.operators.parameters import Parameters
        from airflow_provider_yandex_vision.operators.run import CopySearchRun

        parameters = Parameters(**{field.name: getattr(self, field.name) for field in fields(Parameters)})
        return CopySearchRun(parameters, task_key(context, self.task_id), began=run_began(context))
