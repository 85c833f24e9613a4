"""A dictionary that grows on disk instead of in memory."""

from __future__ import annotations

import logging
import sqlite3

log = logging.getLogger(__name__)


class SpillDict:
    """Bytes by key, in a temporary database that vanishes with the process, however that ends.

    It is a cache: if the disk is full, it forgets everything and remembers nothing more. For one thread at a time.
    """

    def __init__(self) -> None:
        # An empty name is a private temporary database: a small cache that overflows to an unlinked file.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._failed = False
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        # Keys come at random: in an index of their own they do not move the values.
        self._db.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB)")
        self._db.execute("BEGIN")

    def __setitem__(self, key: str, value: bytes) -> None:
        self._execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", _bytes(key), value)

    def get(self, key: str) -> bytes | None:
        found = self._execute("SELECT value FROM entry WHERE key = ?", _bytes(key))
        row = found.fetchone() if found else None
        return row[0] if row else None

    def add(self, key: str) -> bool:
        """Add a key without a value. :return: False if it is known to be there already."""
        added = self._execute("INSERT OR IGNORE INTO entry VALUES (?, x'')", _bytes(key))
        return added is None or added.rowcount == 1

    def close(self) -> None:
        self._db.close()

    def _execute(self, sql: str, *values: bytes) -> sqlite3.Cursor | None:
        if self._failed:
            return None
        try:
            return self._db.execute(sql, values)
        except sqlite3.DatabaseError as error:
            # Without a journal, what is in there may be anything by now.
            self._failed = True
            log.warning("Remembering no more on disk (%s): the same content may be searched more than once", error)
            return None


def _bytes(key: str) -> bytes:
    """SQLite rejects lone surrogates, which occur in file names that are not UTF-8."""
    return key.encode("utf-8", "surrogatepass")
