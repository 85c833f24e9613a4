"""Tasks that write to one table share the service's quota, and pay for a content once."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy.engine import Connection, Engine

from airflow_provider_yandex_vision.results.claims import ClaimsOfAttempt
from airflow_provider_yandex_vision.results.database import PATIENCE, Database
from airflow_provider_yandex_vision.results.schema import ANSWERS, LedgerTables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.results.tasks import SECONDS_TO_FIRST_RENEWAL, TaskRow
from airflow_provider_yandex_vision.results.writing import Now
from airflow_provider_yandex_vision.search.ledger import Known, Share
from airflow_provider_yandex_vision.vision.errors import DatabaseError
from airflow_provider_yandex_vision.vision.faults import may_be_billed
from airflow_provider_yandex_vision.vision.models import CopySearchResult, utc_now

T = TypeVar("T")

log = logging.getLogger(__name__)

SECONDS_BETWEEN_RENEWALS = 1.0
SECONDS_TO_END = 2.0


class TableLedger:
    """Who writes to the table, and what each is paying for, in ``<table>_tasks`` and ``<table>_claims``.

    A thread renews the row of this task, by the database's clock, and counts the tasks that do the same. What goes
    wrong here fails no run: it goes on with the last share, without claims.

    :param yandex_vision_conn_id: connection; only tasks with the same one share rate and window.
    :param share: until the living are counted.
    :param run_began: start of the DAG run, if known.
    :param recheck_after: age up to which answers of other runs will do.
    """

    def __init__(
        self,
        engine: Engine,
        table: ResultTable,
        yandex_vision_conn_id: str,
        share: Share,
        *,
        run_began: datetime | None = None,
        recheck_after: timedelta | None = None,
        now: Now = utc_now,
    ) -> None:
        self.share = share
        self.began = now() if run_began is None else run_began
        self.paid = 0
        """Images charged by earlier attempts of this task instance, as far as they may have been billed."""
        self._database = Database(engine, table.name, time.sleep, random.random)
        self._table = table
        self._recheck_after = recheck_after or timedelta(0)
        self._now = now
        tables, attempt = LedgerTables.named(table.name), uuid.uuid4().hex
        self._row = TaskRow(tables, table.task, yandex_vision_conn_id, attempt)
        self._claims = ClaimsOfAttempt(engine.dialect.name, tables, attempt)
        self._claimed: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="vision-ledger", daemon=True)
        self._has_warned = False

    @property
    def fresh_for(self) -> timedelta:
        """Age up to which an answer of any run will do: one that is newer than this DAG run always does."""
        return max(self._recheck_after, self._now() - self.began)

    def open(self) -> None:
        """Register the task, and renew its row from here on."""
        self.register()
        self._thread.start()

    def close(self) -> None:
        """End the task, but wait for the database no longer than two seconds."""
        self._ended.set()
        if self._thread.ident is None:
            self.end()
        else:
            self._thread.join(SECONDS_TO_END)

    def register(self) -> None:
        """From here on, the task counts. Learn what earlier attempts of it have left."""
        registered = self._try("register in", partial(self._row.register, began=self.began), PATIENCE)
        if registered:
            self.began, self.paid = registered.began, registered.paid
            self.share = max(self.share, registered.share, key=lambda share: share.tasks)

    def renew(self) -> None:
        """The task lives. Count the others that do."""
        self.share = self._try("renew a task in", self._row.renew) or self.share

    def end(self) -> None:
        """The task counts no more, and claims nothing."""
        self._try("end a task in", self._row.end)

    def known(self, sha256s: Collection[str]) -> Known:
        """:raises DatabaseError: the answers cannot be read."""
        answers = self._answers(sha256s)
        unknown = [sha256 for sha256 in sha256s if sha256 not in answers]
        look = partial(self._claims.others, sha256s=unknown)
        others = self._try("read claims in", look) if unknown else None
        return Known(answers, others.living if others else ())

    def claim(self, sha256s: Collection[str]) -> Known:
        """Claim contents for this attempt, and charge for those that have no answer yet.

        :raises DatabaseError: the answers cannot be read.
        """
        claimed = self._try("claim contents in", partial(self._claim, sha256s=sha256s), PATIENCE)
        if claimed is None:
            return Known(self._answers(sha256s), set())
        ours, answered = claimed
        self._claimed |= ours
        answers = self._table.known(answered, self.fresh_for) if answered else {}
        self._end_claims(answers, unbilled=len(answers))
        return Known(answers, set(sha256s) - ours)

    def settle(self, results: Iterable[CopySearchResult]) -> None:
        """End the claims of contents whose results are stored, and charge nothing for those that were not billed."""
        ended = {result.sha256: result for result in results if result.sha256 in self._claimed}
        unbilled = [r for r in ended.values() if r.status not in ANSWERS and not may_be_billed(r.error_code or "")]
        self._end_claims(filter(None, ended), unbilled=len(unbilled))

    def _end_claims(self, sha256s: Iterable[str], unbilled: int) -> None:
        ended = sorted(self._claimed.intersection(sha256s))
        if not ended:
            return

        def end(connection: Connection) -> bool:
            self._claims.end(connection, ended)
            if unbilled:
                self._row.pay(connection, -unbilled)
            return True

        if self._try("end claims in", end, PATIENCE):
            self._claimed.difference_update(ended)

    def _answers(self, sha256s: Collection[str]) -> Mapping[str, CopySearchResult]:
        look = partial(self._table.with_answers, sha256s=sha256s, recheck_after=self.fresh_for)
        answered = self._database.transact("read", look)
        return self._table.known(answered, self.fresh_for) if answered else {}

    def _claim(self, connection: Connection, sha256s: Collection[str]) -> tuple[set[str], set[str]]:
        """:return: the contents claimed, and those of them that have an answer."""
        ours = self._claims.claim(connection, sha256s)
        if ours:
            self._row.pay(connection, len(ours))
        # Only now: an answer that was stored before the claim became ours would be missed by an earlier look.
        return ours, self._table.with_answers(connection, ours, self.fresh_for)

    def _keep_alive(self) -> None:
        seconds = self._try("read tasks in", self._row.seconds_to_first_renewal) or SECONDS_TO_FIRST_RENEWAL
        while not self._ended.wait(seconds):
            self.renew()
            seconds = SECONDS_BETWEEN_RENEWALS
        self.end()

    def _try(self, action: str, work: Callable[[Connection], T], patience: float = 0) -> T | None:
        """:return: None if the database did not let us."""
        try:
            return self._database.transact(action, work, patience=patience)
        except DatabaseError as error:
            self._warn(error)
            return None

    def _warn(self, error: DatabaseError) -> None:
        if not self._has_warned:
            log.warning("Going on without word from other tasks, with 1/%d of the limits: %s", self.share.tasks, error)
        self._has_warned = True
