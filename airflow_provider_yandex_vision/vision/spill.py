"""A dictionary of text that grows on disk instead of in memory."""

from __future__ import annotations

import sqlite3
from types import TracebackType


class SpillDict:
    """Text by key, in a temporary database that has no name on disk and vanishes with the process, however that ends.

    For one thread at a time.
    """

    def __init__(self) -> None:
        # An empty name is SQLite's private temporary database: kept in a small cache, spilled to an unlinked file.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        # Keys come at random. With an index of their own only that is rewritten all the time, and not the values.
        self._db.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value TEXT)")
        self._db.execute("BEGIN")

    def __enter__(self) -> SpillDict:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __setitem__(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (_bytes(key), value))

    def get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM entry WHERE key = ?", (_bytes(key),)).fetchone()
        return row[0] if row else None

    def add(self, key: str) -> bool:
        """Note a key without a value; False where it was there already."""
        return self._db.execute("INSERT OR IGNORE INTO entry VALUES (?, '')", (_bytes(key),)).rowcount == 1

    def close(self) -> None:
        self._db.close()


def _bytes(key: str) -> bytes:
    """SQLite takes no lone surrogates, which file names that are not UTF-8 have."""
    return key.encode("utf-8", "surrogatepass")
