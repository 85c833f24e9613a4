"""The report operator. What only a run needs is imported by the run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_yandex_vision.compat import AirflowFailException, BaseOperator, BaseOperatorLink, Context

if TYPE_CHECKING:
    from airflow_provider_yandex_vision.operators.report_run import Report
    from airflow_provider_yandex_vision.results.findings import Selection


class CopiesReportLink(BaseOperatorLink):
    """A button of the task that opens its page."""

    name: ClassVar[str] = "Copies report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        from airflow_provider_yandex_vision.compat import XCom

        report = XCom.get_value(ti_key=ti_key, key="return_value")
        return str(report["html_url"]) if isinstance(report, dict) else ""


class YandexVisionCopyReportOperator(BaseOperator):
    """Show people which pages have their pictures: a page with thumbnails, a CSV and, for Slack or mail, a text.

    It reads what :class:`~airflow_provider_yandex_vision.operators.copy_search.YandexVisionCopySearchOperator` wrote,
    and the pictures, once more. If there is nothing to show, the task is skipped, so that what follows stays quiet.

    The task returns ``findings``, ``sites`` and ``pictures`` (counts), ``files`` (addresses by kind: ``html``, ``csv``
    and, with the extra ``xlsx``, ``xlsx``), ``text`` (a short message) and ``html_url`` (opens the page in a browser).

    :param table: table of the results. (templated)
    :param sql_conn_id: connection of the database with ``table``. (templated)
    :param output: URL of a directory for ``copies.html``, ``copies.csv`` and ``copies.xlsx``:
        ``s3://conn@bucket/reports/{{ ds }}/``, ``file:///reports/``. Files of these names are replaced. (templated)
    :param select: which findings to show. (templated)

        - ``new``: open, and shown by no earlier run of this task. A retry and a cleared run show theirs again.
        - ``open``: current, and nobody has decided.
        - ``cases``: with the verdict ``case``.
        - ``gone``: pages that the last search did not see any more.
        - ``all``: all of them.
    :param always: make the report even if there is nothing to show, rather than skip the task.
    :param language: of the page and the text, ``en`` or ``ru``. (templated)
    :param remote_pictures: load the pictures of other sites when the page is opened, so that these sites see who opens
        it and when. False loads each on a click.
    :param max_findings: on the page, the newest. The CSV has all, and the page says how many it leaves out.
    :param link_expires: how long the link to the page works, if the storage signs it; some storages allow 7 days at
        most.
    :param report_base_url: where a browser finds the directory's bucket, or the root of its file system: ``html_url``
        is then this and the path of the page. None has the storage sign a link, if it can. (templated)
    """

    template_fields: Sequence[str] = ("table", "sql_conn_id", "output_url", "select", "language", "report_base_url")
    operator_extra_links = (CopiesReportLink(),)
    ui_color = "#ffdb4d"

    def __init__(
        self,
        *,
        table: str,
        sql_conn_id: str,
        output: str,
        select: Selection = "new",
        always: bool = False,
        language: str = "en",
        remote_pictures: bool = False,
        max_findings: int = 500,
        link_expires: timedelta = timedelta(days=7),
        report_base_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.output_url = output  # `output` is Airflow's name for what the task returns
        self.select = select
        self.always = always
        self.language = language
        self.remote_pictures = remote_pictures
        self.max_findings = max_findings
        self.link_expires = link_expires
        self.report_base_url = report_base_url

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the report.

        :raises AirflowSkipException: there is nothing to show.
        :raises AirflowFailException: a parameter, the table or a connection is wrong; a retry cannot help.
        :raises YandexVisionError: a retry may help.
        """
        from airflow_provider_yandex_vision.operators.report_run import run_report
        from airflow_provider_yandex_vision.vision.errors import ConfigurationError

        try:
            return run_report(self._report(context))
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from None

    def _report(self, context: Any) -> Report:
        from airflow_provider_yandex_vision.operators.context import task_key
        from airflow_provider_yandex_vision.operators.report_run import Report

        task = task_key(context, self.task_id)
        return Report(
            table=self.table,
            sql_conn_id=self.sql_conn_id,
            output=self.output_url,
            select=self.select,
            always=self.always,
            language=self.language,
            remote_pictures=self.remote_pictures,
            max_findings=self.max_findings,
            link_expires=self.link_expires,
            report_base_url=self.report_base_url,
            report=f"{task.dag_id}.{task.task_id}" + (f"[{task.map_index}]" if task.map_index >= 0 else ""),
            run_id=task.run_id,
        )
