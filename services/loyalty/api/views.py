"""What journals look like to callers.

An account's id is never shown beside a customer's: it is the one thing that would lead
back from the books to a person who was erased. So accounts are named by their kind.
"""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.loyalty.books.ledger import points_of
from services.loyalty.store.journals import Entry


class PostingView(BaseModel):
    """`points` went from the account `debit` to the account `credit`."""

    line: str
    debit: str
    credit: str
    points: int


class CauseView(BaseModel):
    """The event behind it, and where in the log it was read."""

    source: str
    id: str
    topic: str
    partition: int
    offset: int


class JournalView(BaseModel):
    """One fact in the books: what one revision of a document earned, activated or reversed."""

    journal_id: UUID
    kind: str
    source: str
    document: str
    revision: int
    event_time: datetime
    recorded_at: datetime
    points: int
    postings: list[PostingView]
    cause: CauseView

    @classmethod
    def of(cls, entry: Entry) -> "JournalView":
        return cls(
            journal_id=entry.id,
            kind=entry.kind,
            source=entry.source,
            document=entry.document,
            revision=entry.revision,
            event_time=entry.event_time,
            recorded_at=entry.recorded_at,
            points=points_of(entry.postings),
            postings=[
                PostingView(
                    line=p.line,
                    debit=p.debit.name.lower(),
                    credit=p.credit.name.lower(),
                    points=p.points,
                )
                for p in entry.postings
            ],
            cause=CauseView(
                source=entry.cause_source,
                id=entry.cause_id,
                topic=entry.cause_topic,
                partition=entry.cause_partition,
                offset=entry.cause_offset,
            ),
        )
