"""What people decided about sites and findings, and the operator's own decisions about ``own_sites``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from operator import methodcaller
from typing import Any

from sqlalchemy import and_, or_, select

from airflow_provider_yandex_vision.results.database import Database, chunks
from airflow_provider_yandex_vision.results.schema import FindingTables
from airflow_provider_yandex_vision.results.upsert import upsert
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, printable
from airflow_provider_yandex_vision.vision.models import clean, utc_now

log = logging.getLogger(__name__)

SITE, FINDING = "site", "finding"
OWN = "own"
VERDICTS = (OWN, "licensed", "ignored", "case")

MAX_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Decision:
    """
    :param kind: ``site`` or ``finding``.
    :param subject: a site or host as :func:`parse_site` spells it, which means everything below it too, or a
        ``finding_id``.
    :param verdict: one of ``VERDICTS``.
    :raises ConfigurationError: the verdict is unknown.
    """

    kind: str
    subject: str
    verdict: str
    note: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ConfigurationError(f"verdict {self.verdict!r} is unknown: use {', '.join(VERDICTS)}")


class Decisions:
    """The rows of ``<table>_decisions``. People may change them with SQL at any time."""

    def __init__(self, database: Database, tables: FindingTables, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._table = tables.decisions
        self._now = now

    def write(self, decisions: Iterable[Decision]) -> None:
        """Commit decisions in one transaction; they replace those about the same subjects."""
        rows = {(each.kind, each.subject): self._row(each) for each in decisions}
        decided = [column.name for column in self._table.columns if not column.primary_key]
        self._upsert(list(rows.values()), lambda new: {name: new[name] for name in decided})

    def sync_own_sites(self, sites: Iterable[str], decided_by: str) -> None:
        """Make the decisions ``own`` of one task those about ``sites``, and leave all others as they are.

        :param sites: as :func:`parse_site` spells them.
        :param decided_by: the task. Sites that it decided earlier and does not list are taken back.
        """
        wanted = set(sites)
        about, by_task = self._table.c, and_(self._table.c.kind == SITE, self._table.c.decided_by == decided_by)
        query = select(about.subject).where(by_task, about.verdict == OWN)
        gone = {row.subject for row in self._database.fetch(query)} - wanted
        for chunk in chunks(sorted(gone)):
            delete = self._table.delete().where(by_task, about.verdict == OWN, about.subject.in_(chunk))
            self._database.transact("write", methodcaller("execute", delete))
        own = [Decision(kind=SITE, subject=site, verdict=OWN, decided_by=decided_by) for site in wanted]
        # A decision that exists stays, whoever made it.
        self._upsert([self._row(each) for each in own], lambda new: {"verdict": about.verdict})

    def warn_of_unknown(self) -> None:
        """Log the decisions that count for nothing, because their kind or verdict is unknown."""
        about = self._table.c
        unknown = or_(about.verdict.notin_(VERDICTS), about.kind.notin_((SITE, FINDING)))
        query = select(about.kind, about.subject, about.verdict).where(unknown).order_by(about.kind, about.subject)
        if not (rows := self._database.fetch(query)):
            return
        shown = ", ".join(f"{row.verdict!r} about {row.kind} {row.subject}" for row in islice(rows, MAX_SHOWN))
        log.warning(
            "%d decisions in %s count as undecided, since a kind is site or finding, and a verdict %s: %s%s",
            len(rows), self._table.fullname, ", ".join(VERDICTS), printable(shown), ", …" * (len(rows) > MAX_SHOWN),
        )  # fmt: skip

    def _row(self, decision: Decision) -> dict[str, Any]:
        values = {name: clean(value) if isinstance(value, str) else value for name, value in asdict(decision).items()}
        return {**values, "decided_at": decision.decided_at or self._now()}

    def _upsert(self, rows: Sequence[dict[str, Any]], changes: Callable[[Any], dict[str, Any]]) -> None:
        self._database.transact("write", partial(upsert, table=self._table, rows=rows, changes=changes))
