"""What one run over a large file must remember: on this machine's disk, in a file that nobody sees.

SQLite keeps it in a temporary file of its own, gone when the run ends, so the memory stays
the same for a million rows or a hundred. Nothing of it is ever loyalty's data.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import blake2b

CACHE_KB = 32_768

TABLES = """
    CREATE TABLE seen (key BLOB PRIMARY KEY, row INTEGER NOT NULL, value BLOB NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE who (key TEXT PRIMARY KEY, customer_id TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE told (customer_id TEXT PRIMARY KEY, points INTEGER NOT NULL, met INTEGER NOT NULL)
        WITHOUT ROWID;
"""
REMEMBER = "INSERT OR IGNORE INTO seen (key, row, value) VALUES (?, ?, ?)"
RECALL = "SELECT row, value FROM seen WHERE key = ?"
NAME = "INSERT OR REPLACE INTO who (key, customer_id) VALUES (?, ?)"
KNOWN_AS = "SELECT customer_id FROM who WHERE key = ?"
TELL = """
    INSERT INTO told (customer_id, points, met) VALUES (?, ?, 0)
    ON CONFLICT (customer_id) DO UPDATE SET points = told.points + excluded.points
"""
MEET = "UPDATE told SET met = 1 WHERE customer_id = ? RETURNING points"
UNMET = "SELECT customer_id, points FROM told WHERE met = 0 AND points <> 0"


class Scratch:
    """Closed with the run; not for two threads."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.executescript(TABLES)
        self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()

    def first(self, key: str, row: int, value: str = "") -> tuple[int, str]:
        """The row in which `key` came first, and the value that came with it."""
        digest = blake2b(key.encode(), digest_size=16).digest()
        if self._db.execute(REMEMBER, (digest, row, value)).rowcount:
            return row, value
        found: tuple[int, str] = self._db.execute(RECALL, (digest,)).fetchone()
        return found

    def name(self, pairs: Iterable[tuple[str, str]]) -> None:
        """What another system calls our customers."""
        self._db.executemany(NAME, pairs)

    def known_as(self, key: str) -> str | None:
        found = self._db.execute(KNOWN_AS, (key,)).fetchone()
        return found[0] if found else None

    def tell(self, pairs: Iterable[tuple[str, int]]) -> None:
        """Points that a file says of customers; several of one are added up."""
        self._db.executemany(TELL, pairs)

    def meet(self, customer_id: str) -> int | None:
        """What the file said of him, who is now accounted for; None: nothing."""
        found = self._db.execute(MEET, (customer_id,)).fetchall()
        return found[0][0] if found else None

    def unmet(self) -> Iterator[tuple[str, int]]:
        """Who was told of and never met, but for those with nothing."""
        yield from self._db.execute(UNMET)
