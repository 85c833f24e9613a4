"""Decide about the sites of the last report, in a form of Airflow's own.

From Airflow 3.1 on, the DAG asks under *Required Actions*: which of these sites are your own, licensed, to be ignored,
or a case? Choose any of them, a verdict and a note, or "none of these". On older releases, trigger it with the same
answers as parameters. What was decided is not asked again, and is in no later report.

- Connection: ``results_db`` (an SQL database).
- Extras: the one of your database (``postgres``, ``mysql`` or ``sqlite``).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_yandex_vision.compat import DAG, AirflowException, Param, task
from airflow_provider_yandex_vision.operators.decide import YandexVisionDecideOperator

try:
    from airflow.providers.standard.operators.hitl import HITLOperator

    HAS_FORMS = True
except (ImportError, AirflowException):  # before 3.1
    HAS_FORMS = False

TABLE = "picture_copies"
NONE = "none of these"
SITES_PER_FORM = 20

OPEN_SITES = f"""
SELECT site, count(*), min(title)
FROM {TABLE}_open
WHERE finding_id IN (
    SELECT shown.finding_id
    FROM {TABLE}_reported shown
    JOIN (
        SELECT report, run_id FROM {TABLE}_reported
        WHERE reported_at IS NOT NULL ORDER BY reported_at DESC LIMIT 1
    ) last ON shown.report = last.report AND shown.run_id = last.run_id
    WHERE shown.reported_at IS NOT NULL
)
GROUP BY site
ORDER BY count(*) DESC, site
"""

ANSWER = {
    "verdict": Param("licensed", type="string", enum=["own", "licensed", "ignored", "case"]),
    "note": Param("", type=["null", "string"], description="Why, for whoever asks later"),
}

BY_HAND = {
    "sites": Param(type="array", items={"type": "string"}, description="Sites to decide about"),
    "decided_by": Param(type="string", description="Your name"),
    **ANSWER,
}

with DAG(
    "yandex_vision_review",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={} if HAS_FORMS else BY_HAND,
    doc_md=__doc__,
    tags=["yandex vision"],
):
    if HAS_FORMS:

        @task
        def forms(rows: Any) -> list[dict[str, Any]]:
            """A form for every 20 sites."""
            parts = [rows[start : start + SITES_PER_FORM] for start in range(0, len(rows), SITES_PER_FORM)]
            return [
                {
                    "options": [*(site for site, _, _ in part), NONE],
                    "body": "\n".join(
                        f"- {escape(site)}: pages: {pages}, such as “{escape(title)}”" for site, pages, title in part
                    ),
                }
                for part in parts
            ]

        @task
        def decisions(answers: Any) -> list[dict[str, Any]]:
            """What to write: nothing for the sites that nobody chose."""
            return [
                {
                    "sites": sites,
                    "verdict": answer["params_input"]["verdict"],
                    "note": answer["params_input"]["note"],
                    "decided_by": answer["responded_by_user"]["name"],
                }
                for answer in answers
                if (sites := [site for site in answer["chosen_options"] if site != NONE])
            ]

        open_sites = SQLExecuteQueryOperator(task_id="open_sites", conn_id="results_db", sql=OPEN_SITES)
        review = HITLOperator.partial(
            task_id="review",
            subject="Which of these sites do you decide about?",
            multiple=True,
            params=ANSWER,
        ).expand_kwargs(forms(open_sites.output))
        YandexVisionDecideOperator.partial(task_id="decide", table=TABLE, sql_conn_id="results_db").expand_kwargs(
            decisions(review.output)
        )
    else:
        YandexVisionDecideOperator(
            task_id="decide",
            table=TABLE,
            sql_conn_id="results_db",
            sites="{{ params.sites | join(',') }}",
            verdict="{{ params.verdict }}",
            note="{{ params.note }}",
            decided_by="{{ params.decided_by }}",
        )


def escape(text: str) -> str:
    """Text from the web, so that it is nothing else in Markdown, HTML and Jinja."""
    return re.sub(r"[^\w ]", lambda match: f"&#{ord(match[0])};", " ".join(text.split()))
