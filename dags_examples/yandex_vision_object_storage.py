"""Search the images in a Yandex Object Storage bucket.

The bucket is listed once, and objects are read while others are searched. Formats that the service does not accept
are converted.

It runs when it is triggered. To run it every week, give the parameter ``images`` your folder as its default, and set
``schedule="@weekly"``.

- Connections: ``yandex_vision_default`` (the credentials), ``results_db`` (an SQL database) and ``yandex_storage`` of
  type ``aws``: a static access key as login and password, and the extra
  ``{"endpoint_url": "https://storage.yandexcloud.net", "region_name": "ru-central1"}``. The Test button of that
  connection fails even if it works, because it calls AWS STS, which Yandex Cloud does not have.
- Extras: ``amazon``, ``pillow`` and the one of your database (``postgres``, ``mysql`` or ``sqlite``).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_yandex_vision.compat import DAG, Param
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

with DAG(
    "yandex_vision_object_storage",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={"images": Param(type="string", description="URL of your folder, such as s3://bucket/catalog/")},
    doc_md=__doc__,
    tags=["yandex vision"],
):
    YandexVisionCopySearchOperator(
        task_id="search",
        images="{{ params.images }}",
        object_storage_conn_id="yandex_storage",
        table="picture_copies",
        sql_conn_id="results_db",
        recheck_after=timedelta(days=30),
        convert_images=True,
        retries=2,
    )
