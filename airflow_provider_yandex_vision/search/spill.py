"""A dictionary that grows on disk instead of in memory."""

from __future__ import annotations

import sqlite3


class SpillDict:
    """Bytes by key, in a temporary database that vanishes with the process, however that ends.

    For one thread at a time.
    """

    def __init__(self) -> None:
        # An empty name is a private temporary database: a small cache that overflows to an unlinked file.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        # Keys come at random: in an index of their own they do not move the values.
        self._db.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB)")
        self._db.execute("BEGIN")

    def __setitem__(self, key: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (_bytes(key), value))

    def get(self, key: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM entry WHERE key = ?", (_bytes(key),)).fetchone()
        return row[0] if row else None

    def add(self, key: str) -> bool:
        """Add a key without a value. :return: False if it was there already."""
        return self._db.execute("INSERT OR IGNORE INTO entry VALUES (?, x'')", (_bytes(key),)).rowcount == 1

    def close(self) -> None:
        self._db.close()


def _bytes(key: str) -> bytes:
    """SQLite rejects lone surrogates, which occur in file names that are not UTF-8."""
    return key.encode("utf-8", "surrogatepass")
