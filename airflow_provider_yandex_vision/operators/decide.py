"""The operator for decisions. DAGs are parsed all the time, so what only a run needs is imported by the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_yandex_vision.compat import AirflowFailException, BaseOperator, Context

if TYPE_CHECKING:
    from airflow_provider_yandex_vision.results.decisions import Decision


class YandexVisionDecideOperator(BaseOperator):
    """Decide about sites, or single findings, so that their matches are no longer open.

    Verdicts are ``own``, ``licensed``, ``ignored`` and ``case``. A decision replaces the one before about the same
    site or finding. One about a finding wins over one about its host, and that over one about its site. Sites that no
    finding is on are fine. Nothing is written if one of the values is wrong.

    Returns ``{"decisions": …, "closed": …, "open": …}``: how many decisions were written, how many open findings they
    closed, and how many are left.

    :param table: the results table of :class:`YandexVisionCopySearchOperator`. (templated)
    :param sql_conn_id: connection of its database. (templated)
    :param sites: sites, or hosts, with all below them: a mapping to verdicts, ``{"partner.example": "licensed"}``, or
        a list, or text with commas or lines, of sites that get ``verdict``. (templated)
    :param findings: ``finding_id`` of single findings that get ``verdict``. (templated)
    :param verdict: of ``findings``, and of ``sites`` that are no mapping. (templated)
    :param note: why. (templated)
    :param decided_by: who. (templated)
    """

    template_fields: Sequence[str] = ("table", "sql_conn_id", "sites", "findings", "verdict", "note", "decided_by")
    ui_color = "#ffdb4d"

    def __init__(
        self,
        *,
        table: str,
        sql_conn_id: str,
        sites: Any = (),
        findings: Any = (),
        verdict: str | None = None,
        note: str | None = None,
        decided_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.sites = sites
        self.findings = findings
        self.verdict = verdict
        self.note = note
        self.decided_by = decided_by

    def execute(self, context: Context) -> dict[str, int]:
        """Write the decisions.

        :raises AirflowFailException: a retry cannot help.
        :raises YandexVisionError: a retry may help.
        """
        from airflow_provider_yandex_vision.vision.errors import ConfigurationError

        try:
            return self._decide(self._decisions())
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from None

    def _decisions(self) -> list[Decision]:
        from airflow_provider_yandex_vision.results.decisions import FINDING, SITE, Decision
        from airflow_provider_yandex_vision.vision.sites import parse_texts

        subjects = [(SITE, site, verdict) for site, verdict in self._verdicts().items()]
        subjects += [(FINDING, finding, self.verdict or "") for finding in parse_texts(self.findings)]
        return [
            Decision(kind=kind, subject=subject, verdict=verdict, note=self.note, decided_by=self.decided_by)
            for kind, subject, verdict in subjects
        ]

    def _verdicts(self) -> dict[str, str]:
        """By site."""
        from airflow_provider_yandex_vision.vision.sites import mapping_in, parse_site, parse_sites

        mapping = mapping_in(self.sites)
        if mapping is None:
            return dict.fromkeys(parse_sites(self.sites), self.verdict or "")
        return {parse_site(site): str(verdict) for site, verdict in mapping.items()}

    def _decide(self, decisions: list[Decision]) -> dict[str, int]:
        from airflow_provider_yandex_vision.results.database import sql_engine
        from airflow_provider_yandex_vision.results.decisions import FINDING
        from airflow_provider_yandex_vision.results.findings import Findings
        from airflow_provider_yandex_vision.vision.errors import ConfigurationError

        engine = sql_engine(self.sql_conn_id)
        try:
            findings = Findings(engine, self.table)
            findings.prepare()
            about = [each.subject for each in decisions if each.kind == FINDING]
            if unknown := findings.unknown(about):
                more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
                raise ConfigurationError(f"not a finding in table {self.table}: {unknown[0]!r}{more}")
            before, _ = findings.count_open()
            findings.decisions.write(decisions)
            after, _ = findings.count_open()
        finally:
            engine.dispose()
        self.log.info("%d decisions close %d open findings; %d are left", len(decisions), before - after, after)
        return {"decisions": len(decisions), "closed": before - after, "open": after}
