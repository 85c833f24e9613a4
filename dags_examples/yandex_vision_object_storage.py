"""Search the images in a Yandex Object Storage bucket.

The bucket is listed once, and objects are read while others are searched. Formats that the service does not accept
are converted.

Connections: ``yandex_vision_default`` (the API key), ``results_db`` (an SQL database) and ``yandex_storage`` of type
``aws``: a static access key as login and password, and the extra
``{"endpoint_url": "https://storage.yandexcloud.net", "region_name": "ru-central1"}``. The Test button of that
connection fails even if it works, because it calls AWS STS, which Yandex Cloud does not have.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

with DAG(
    "yandex_vision_object_storage",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={"bucket": "my-bucket", "pattern": "catalog/**"},
    doc_md=__doc__,
    tags=["yandex vision"],
):
    YandexVisionCopySearchOperator(
        task_id="search",
        images="s3://{{ params.bucket }}/{{ params.pattern }}",
        object_storage_conn_id="yandex_storage",
        table="picture_copies",
        sql_conn_id="results_db",
        recheck_after=timedelta(days=30),
        convert_images=True,
        retries=2,
    )
