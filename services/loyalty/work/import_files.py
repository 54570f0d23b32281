"""Reads another system's file, a record at a time: CSV or NDJSON, plain, .gz or .xz.

A CSV file names its columns in row 1; of NDJSON (.ndjson, .jsonl) each line is one object,
and the first is row 1. What cannot be read at all is Fatal, with the row and what to do.
"""

import csv
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, TextIO

from services.loyalty.arrivals.import_columns import Kind, Mapping, places
from services.loyalty.arrivals.import_fields import Record
from services.loyalty.arrivals.import_rows import named
from services.loyalty.store.scratch import Scratch
from shared.errors import Fatal

DELIMITERS = ",;\t|"
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
LINES = {".ndjson", ".jsonl"}
BROKEN = (OSError, EOFError, lzma.LZMAError, csv.Error, UnicodeDecodeError, ValueError)


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and how it is to be taken."""

    path: Path
    kind: Kind
    mapping: Mapping
    ids: Path | None = None
    """Who is who, where the file knows customers by another name."""

    def digest(self) -> bytes:
        """Of what is in the file."""
        return _digest(self.path)

    def terms(self) -> bytes:
        """Of how it is taken: the same file read in another way is another import."""
        ids = _digest(self.ids) if self.ids else b""
        return sha256(f"{self.kind}\0{self.mapping.model_dump_json()}\0".encode() + ids).digest()

    def records(self) -> Iterator[tuple[int, Record]]:
        """Each record by our field names, with its row."""
        found: dict[str, str] = {}
        for row, record in _records(self.path, self.mapping):
            # A CSV file's columns are the same in every row; JSON leaves out what is not there.
            if not found or self._is_lines:
                found = places(tuple(record), self.kind, self.mapping)
            yield row, named(record, found, self.kind)

    def learn(self, scratch: Scratch) -> None:
        """Read the --ids file into `scratch`."""
        if self.ids:
            key, id_ = self.mapping.ids.key, self.mapping.ids.customer_id
            scratch.name(_pairs(self.ids, self.mapping, key, id_))

    @property
    def _is_lines(self) -> bool:
        return _form(self.path) in LINES


def _pairs(path: Path, mapping: Mapping, key: str, id_: str) -> Iterator[tuple[str, str]]:
    for row, record in _records(path, mapping):
        if key not in record or id_ not in record:
            raise Fatal(
                f"{path.name}: row {row}: no {key if key not in record else id_}; it has"
                f" {', '.join(record)}. Say it in the mapping: [ids] key, customer_id"
            )
        if record[key] and record[id_]:
            yield str(record[key]).strip(), str(record[id_]).strip()


def _records(path: Path, mapping: Mapping) -> Iterator[tuple[int, dict[str, Any]]]:
    row = 0
    try:
        with _open(path, mapping.encoding) as file:
            rows = _objects(file) if _form(path) in LINES else _table(file, mapping)
            for row, record in rows:
                yield row, record
    except BROKEN as error:
        if isinstance(error, UnicodeDecodeError):
            what = f"not {mapping.encoding}; give another with --encoding, such as gb18030"
        else:
            what = f"cannot be read: {error}"
        raise Fatal(f"{path.name}: after row {row}: {what}") from None


def _table(file: TextIO, mapping: Mapping) -> Iterator[tuple[int, dict[str, Any]]]:
    head = file.readline()
    delimiter = mapping.delimiter or max(DELIMITERS, key=head.count)
    header = [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]
    if not any(header):
        raise ValueError("it has to begin with the names of its columns")
    for row, fields in enumerate(csv.reader(file, delimiter=delimiter), start=2):
        if fields and len(fields) != len(header):
            raise ValueError(f"row {row} has {len(fields)} fields, the header {len(header)}")
        if fields:
            yield row, dict(zip(header, fields, strict=True))


def _objects(file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for row, line in enumerate(file, start=1):
        if line.strip():
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"row {row} is no object, such as {{...}}")
            yield row, record


def _open(path: Path, encoding: str) -> TextIO:
    opener = OPENERS.get(path.suffix, open)
    file: TextIO = opener(path, "rt", encoding=encoding, newline="")
    return file


def _form(path: Path) -> str:
    """The ending that tells the form, whatever it is packed in."""
    plain = path.with_suffix("") if path.suffix in OPENERS else path
    return plain.suffix.lower()


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").digest()
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror or error}") from None
