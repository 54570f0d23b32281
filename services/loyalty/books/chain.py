"""The chain over the books: what is sealed can not be changed, added or left out unseen. Pure.

Journals are sealed in blocks, in the order in which they were committed. A journal's digest
is SHA-256 over its JSON in canonical form (RFC 8785 for what a journal holds: sorted names,
no spaces, whole numbers, UTF-8); a block's head is SHA-256 over the head before it, its own
number as eight bytes, most significant first, and its journals' digests. So a head vouches
for everything before it, and anybody who kept one can tell later.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

GENESIS = bytes(32)
"""The head before the first block."""

PLAIN = {int, str}
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
Record = Mapping[str, Any]
"""A journal with its postings, as it is exported."""


@dataclass(frozen=True, slots=True)
class Block:
    """A sealed block; `journal_ids` in the order of its digests."""

    number: int
    previous: bytes
    head: bytes
    journal_ids: tuple[UUID, ...]


class Broken(Exception):
    """Where the chain does not hold, and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


@dataclass(frozen=True, slots=True)
class Verified:
    """What an unbroken export comes to."""

    blocks: int
    journals: int
    postings: int
    heads: tuple[str, ...]
    """Of each block, in hexadecimal."""


def record(journal: Iterable[tuple[str, Any]], postings: Iterable[Sequence[Any]]) -> Record:
    """As hashed and exported; a posting: position, account, line, lot, debit, credit, points.

    What a journal or posting does not have is left out. So one from before a column was
    there is hashed as it was then, and giving it a value afterwards breaks the chain.
    """
    return {name: _plain(value) for name, value in journal if value is not None} | {
        "postings": [[_plain(v) for v in posting if v is not None] for posting in postings]
    }


def _plain(value: Any) -> Any:
    if type(value) in PLAIN:  # most are
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, (UUID, date)) else value


def digest(journal: Record) -> bytes:
    return sha256(CANONICAL.encode(journal).encode()).digest()


def seal(after: Block | None, journals: Sequence[Record]) -> Block:
    """The next block."""
    number = after.number + 1 if after else 1
    previous = after.head if after else GENESIS
    ids = tuple(UUID(journal["id"]) for journal in journals)
    return Block(number, previous, link(previous, number, map(digest, journals)), ids)


def link(previous: bytes, number: int, digests: Iterable[bytes]) -> bytes:
    return sha256(b"".join((previous, number.to_bytes(8), *digests))).digest()


def export(block: Block, sealed_at: datetime, journals: Iterable[Record]) -> Iterator[str]:
    """The block's lines: its own, then one for each journal."""
    head = {
        "block": block.number,
        "previous": block.previous.hex(),
        "head": block.head.hex(),
        "sealed_at": _plain(sealed_at),
        "journals": len(block.journal_ids),
    }
    for line in (head, *journals):
        yield json.dumps(line, ensure_ascii=False)


def verify(lines: Iterable[str]) -> Verified:
    """Recompute an export from its first block on; raises Broken at the first fault."""
    heads: list[str] = []
    journals = postings = 0
    seen: set[str] = set()
    previous = GENESIS
    for number, (told, records) in enumerate(_blocks(lines), start=1):
        where = f"block {number}"
        if told.get("block") != number:
            raise Broken(where, f"missing; the export goes on with block {told.get('block')}")
        if told.get("previous") != previous.hex():
            raise Broken(where, "does not follow on the block before")
        if told.get("journals") != len(records):
            raise Broken(where, f"has {len(records)} journals; {told.get('journals')} were sealed")
        previous = link(previous, number, map(digest, records))
        if told.get("head") != previous.hex():
            raise Broken(where, "one of its journals or postings was changed, added or left out")
        for each in records:
            if each["id"] in seen:
                raise Broken(where, f"journal {each['id']} was sealed before")
            seen.add(each["id"])
            postings += _postings(where, each)
        journals += len(records)
        heads.append(previous.hex())
    return Verified(len(heads), journals, postings, tuple(heads))


def _postings(where: str, journal: Record) -> int:
    for *_, debit, credit, points in journal["postings"]:
        if debit == credit or not isinstance(points, int) or points <= 0:
            raise Broken(where, f"journal {journal['id']} has a posting that moves nothing")
    return len(journal["postings"])


def _blocks(lines: Iterable[str]) -> Iterator[tuple[Record, list[Record]]]:
    told: Record | None = None
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
        except ValueError as error:
            raise Broken(f"line {number}", f"is not JSON: {error}") from error
        if not isinstance(found, dict) or not {"block", "postings"} & found.keys():
            raise Broken(f"line {number}", "is neither a block nor a journal")
        if "block" in found:
            if told is not None:
                yield told, records
            told, records = found, []
        elif told is None:
            raise Broken(f"line {number}", "a journal before the first block")
        else:
            records.append(found)
    if told is not None:
        yield told, records
