"""What a sink has received: in memory, and in a file, so that killing it loses nothing.

Also its mode: how it is to behave, for all that follows or for the next few.
"""

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]

RECORDS_MAX = 20_000  # a long demo's worth, in some tens of MB; the oldest go first


class Kept:
    """Records in the order of their coming, numbered from 1."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._records = _read(path)
        self._next = self._records[-1]["id"] + 1 if self._records else 1
        self._rewrite()
        self._file = path.open("a")

    def add(self, record: Record) -> Record:
        """Keep it and return it with its `id`; it is in the file before this returns."""
        kept = {"id": self._next, **record}
        self._next += 1
        self._records.append(kept)
        if len(self._records) >= 2 * RECORDS_MAX:
            self._records = self._records[-RECORDS_MAX:]
            self._file.close()
            self._rewrite()
            self._file = self._path.open("a")
        else:
            self._file.write(json.dumps(kept) + "\n")
            self._file.flush()
        return kept

    def all(self) -> list[Record]:
        return self._records

    def get(self, record_id: int) -> Record | None:
        return next((record for record in self._records if record["id"] == record_id), None)

    def clear(self) -> None:
        self._records = []
        self._file.truncate(0)

    def close(self) -> None:
        self._file.close()

    def _rewrite(self) -> None:
        draft = self._path.with_name(f".{self._path.name}.new")
        draft.write_text("".join(json.dumps(record) + "\n" for record in self._records))
        draft.replace(self._path)


def _read(path: Path) -> list[Record]:
    records: list[Record] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:  # the last line, when we were killed while writing it
                continue
    return records[-RECORDS_MAX:]
