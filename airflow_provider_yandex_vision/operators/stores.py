"""Where the results of a run go: to a table, or to XCom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.operators.open_matches import open_findings, to_dict
from airflow_provider_yandex_vision.operators.parameters import Parameters
from airflow_provider_yandex_vision.results.findings import Findings
from airflow_provider_yandex_vision.results.quota import TableLedger
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.silence import Silence
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.search.ledger import Ledger, NoLedger
from airflow_provider_yandex_vision.vision.models import CopySearchResult


class Store(Protocol):
    """
    :ivar table: what is known from earlier searches.
    :ivar ledger: what other tasks are doing.
    :ivar fresh_for: age up to which an earlier result will do.
    :ivar paid: images that earlier attempts of the task have paid for.
    """

    @property
    def table(self) -> ResultTable | None: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def fresh_for(self) -> timedelta | None: ...
    @property
    def paid(self) -> int: ...

    def write(self, results: Sequence[CopySearchResult]) -> list[CopySearchResult]:
        """:return: results that it refused: their rows say ``failed``, and why.

        :raises CopySearchOffError: hardly any image that had copies has some.
        """

    def finish(self) -> list[CopySearchResult]:
        """Write what was held back. :return: as :meth:`write` does."""

    def summary(self) -> dict[str, Any]:
        """What only the store knows: new and open matches and, if nothing else keeps them, the results."""

    @property
    def still_gone(self) -> int:
        """Failed images that did not exist in an earlier run either."""


class TableStore:
    """Rows of a table, which other tasks may be writing to as well.

    :param began: start of the DAG run, if known.
    :raises TableError: the table cannot be used.
    """

    def __init__(self, engine: Engine, parameters: Parameters, task: TaskKey, began: datetime | None) -> None:
        name = str(parameters.table)
        self.table = ResultTable(engine, name, task)
        self.table.prepare(create=parameters.create_table)
        self.ledger = TableLedger(
            engine,
            self.table,
            parameters.yandex_vision_conn_id,
            parameters.share,
            run_began=began,
            recheck_after=parameters.recheck_after,
        )
        self._findings = Findings(engine, name)
        self._silence = Silence(self.table.lookup)
        self._own_sites = parameters.sites

    @property
    def fresh_for(self) -> timedelta:
        return self.ledger.fresh_for

    @property
    def paid(self) -> int:
        return self.ledger.paid

    def open(self) -> None:
        """Take part: write down the own sites, and let other tasks know of this one."""
        task = self.table.task
        self._findings.decisions.sync_own_sites(self._own_sites, f"{task.dag_id}.{task.task_id}")
        self._findings.decisions.warn_of_unknown()
        self.ledger.open()

    def close(self) -> None:
        self.ledger.close()

    def write(self, results: Sequence[CopySearchResult]) -> list[CopySearchResult]:
        refused = self.table.write(self._silence.admit(results))
        # Also what is held back: two tasks could wait for each other's.
        self.ledger.settle(results)
        self._silence.check()
        return refused

    def finish(self) -> list[CopySearchResult]:
        return self.table.write(self._silence.release())

    def summary(self) -> dict[str, Any]:
        open_matches, new_open_matches = self._findings.count_open(self.table.task)
        return {
            "new_matches": self.table.new_matches(),
            "open_matches": open_matches,
            "new_open_matches": new_open_matches,
        }

    @property
    def still_gone(self) -> int:
        return self.table.still_gone()


class XComStore:
    """Results that the task returns. Nothing is remembered, so all that is open is new."""

    table = None
    fresh_for = None
    paid = 0
    still_gone = 0

    def __init__(self, parameters: Parameters) -> None:
        self.ledger = NoLedger(parameters.share)
        self._own_sites = parameters.sites
        self._results: list[dict[str, Any]] = []
        self._open: set[tuple[str, str]] = set()
        self._matches = 0

    def write(self, results: Sequence[CopySearchResult]) -> list[CopySearchResult]:
        self._results += (to_dict(result, self._own_sites) for result in results)
        self._open |= open_findings(results, self._own_sites)
        self._matches += sum(len(result.matches) for result in results)
        return []

    def finish(self) -> list[CopySearchResult]:
        return []

    def summary(self) -> dict[str, Any]:
        return {
            "new_matches": self._matches,
            "open_matches": len(self._open),
            "new_open_matches": len(self._open),
            "results": self._results,
        }
