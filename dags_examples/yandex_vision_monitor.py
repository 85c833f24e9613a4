"""Each morning: which pages newly show our pictures, on sites that are neither ours nor our partners'.

It searches the folder, writes a page for the lawyer, and mails what is new. A page is announced once; if nothing is
new, there is no report and no mail. An image that has not changed is searched again after a week.

It runs when it is triggered. To run it every morning, give the parameters your values as defaults, and set
``schedule="@daily"``. In place of ``mail``, any operator or notifier that takes a text will do.

- Connections: ``yandex_vision_default`` (the credentials), ``results_db`` (an SQL database) and ``smtp_default``.
- Extras: ``pillow``, the one of your database (``postgres``, ``mysql`` or ``sqlite``), and the one of your storage,
  such as ``amazon`` for ``s3://``; none for local files. With ``xlsx``, the report comes as a workbook as well.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.smtp.operators.smtp import EmailOperator

from airflow_provider_yandex_vision.compat import DAG, Param
from airflow_provider_yandex_vision.operators.copy_report import YandexVisionCopyReportOperator
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.operators.decide import YandexVisionDecideOperator

PARAMS = {
    "images": Param(type="string", description="URL of your folder, such as s3://my_aws@bucket/catalog/"),
    "reports": Param(type="string", description="URL of a folder for the reports, such as s3://my_aws@bucket/reports"),
    "own_sites": Param("", type="string", description="Your own sites, separated by commas"),
    "partners": Param("", type="string", description="Sites with a licence, separated by commas"),
    "mail_to": Param("legal@example.com", type="string", description="Who gets the mail"),
}
DB: dict[str, Any] = {"table": "picture_copies", "sql_conn_id": "results_db"}
START, TAGS = datetime(2026, 1, 1), ["yandex vision"]
REPORT = "{{ params.reports }}/{{ dag_run.start_date | ds }}"
TEXT = "{{ ti.xcom_pull(task_ids='report')['text'] }}"
LINK = "{{ ti.xcom_pull(task_ids='report')['html_url'] | e }}"
BODY = f'<p>{TEXT}</p><p><a href="{LINK}">Open the report</a></p>'

with DAG(
    "yandex_vision_monitor", schedule=None, start_date=START, catchup=False, params=PARAMS, doc_md=__doc__, tags=TAGS
):
    search = YandexVisionCopySearchOperator(
        task_id="search",
        images="{{ params.images }}",
        own_sites="{{ params.own_sites }}",
        recheck_after=timedelta(days=7),
        **DB,
    )
    partners = YandexVisionDecideOperator(task_id="partners", sites="{{ params.partners }}", verdict="licensed", **DB)
    report = YandexVisionCopyReportOperator(task_id="report", output=REPORT, **DB)
    mail = EmailOperator(task_id="mail", to="{{ params.mail_to }}", subject=TEXT, html_content=BODY)
    search >> partners >> report >> mail
