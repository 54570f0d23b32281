"""Paid terms and their refunds: appended, never changed."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.members.subscriptions import Refund, Term
from shared import db

_TERM = """
    t.document_id, t.plan_id, t.plan_version, t.tier, t.benefits, t.grace_days, t.paid_minor,
    t.currency, t.zone, t.anchor, t.months_before, t.months, t.bought_at, t.starts_at, t.ends_at,
    r.document_id, r.refunded_at, r.days_unused, r.days, r.amount_minor
"""
TERM_COLUMNS = 15

LIST_OF_PERSON = text(f"""
    SELECT m.customer_id, {_TERM}
    FROM member AS m JOIN paid_term AS t USING (account_id)
    LEFT JOIN term_refund AS r ON r.term_document_id = t.document_id
    WHERE m.customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY t.starts_at, t.document_id
""")  # noqa: S608  our own list of columns
# The customer is null where he was erased.
FIND = text(f"""
    SELECT m.customer_id, {_TERM}
    FROM paid_term AS t LEFT JOIN member AS m USING (account_id)
    LEFT JOIN term_refund AS r ON r.term_document_id = t.document_id
    WHERE t.document_id = :document_id
""")  # noqa: S608  as above
# With the document that has refunded each.
LIST_KNOWN = text("""
    SELECT t.document_id, coalesce(r.document_id, '')
    FROM paid_term AS t LEFT JOIN term_refund AS r ON r.term_document_id = t.document_id
    WHERE t.document_id = ANY(CAST(:document_ids AS text[]))
""")
TERM = (
    *("document_id", "account_id", "plan_id", "plan_version", "tier", "benefits", "grace_days"),
    *("paid_minor", "currency", "zone", "anchor", "months_before", "months", "bought_at"),
    *("starts_at", "ends_at"),
)
REFUND = ("document_id", "term_document_id", "refunded_at", "days_unused", "days", "amount_minor")
FIND_REFUND = text("""
    SELECT term_document_id FROM term_refund WHERE document_id = :document_id
""")
ADD = text("""
    INSERT INTO paid_term (
        document_id, account_id, plan_id, plan_version, tier, benefits, grace_days, paid_minor,
        currency, zone, anchor, months_before, months, bought_at, starts_at, ends_at
    ) VALUES (
        :document_id, :account_id, :plan_id, :plan_version, :tier, CAST(:benefits AS jsonb),
        :grace_days, :paid_minor, :currency, :zone, :anchor, :months_before, :months, :bought_at,
        :starts_at, :ends_at
    )
    ON CONFLICT DO NOTHING
""")
ADD_REFUND = text("""
    INSERT INTO term_refund (
        document_id, term_document_id, refunded_at, days_unused, days, amount_minor
    ) VALUES (
        :document_id, :term_document_id, :refunded_at, :days_unused, :days, :amount_minor
    )
    ON CONFLICT DO NOTHING
""")


async def list_of_people(
    conn: AsyncConnection, customer_ids: Collection[str]
) -> dict[str, list[Term]]:
    """All terms ever bought under these ids, by id and in the order of their starts."""
    found: defaultdict[str, list[Term]] = defaultdict(list)
    rows = await conn.execute(LIST_OF_PERSON, {"customer_ids": sorted(customer_ids)})
    for row in rows:
        found[row[0]].append(_term(row))
    return dict(found)


async def find(conn: AsyncConnection, document_id: str) -> tuple[str | None, Term] | None:
    """Who bought the term of this document, and the term."""
    row = (await conn.execute(FIND, {"document_id": document_id})).one_or_none()
    return (row[0], _term(row)) if row else None


async def list_known(conn: AsyncConnection, document_ids: Collection[str]) -> dict[str, str]:
    """The terms of these documents that are here, each with its refund's document, or empty."""
    rows = await conn.execute(LIST_KNOWN, {"document_ids": sorted(document_ids)})
    return dict(map(tuple, rows))


async def find_refund(conn: AsyncConnection, document_id: str) -> str | None:
    """The document of the term that this document refunded."""
    found: str | None = (
        await conn.execute(FIND_REFUND, {"document_id": document_id})
    ).scalar_one_or_none()
    return found


async def add(conn: AsyncConnection, account_id: UUID, term: Term) -> bool:
    """Whether the document was new."""
    bound = dict(zip(TERM, _term_row(account_id, term), strict=True))
    return bool((await conn.execute(ADD, bound)).rowcount)


async def add_refund(conn: AsyncConnection, term: Term) -> bool:
    """Whether the refund's document was new, and the term not refunded before."""
    bound = dict(zip(REFUND, _refund_row(term), strict=True))
    return bool((await conn.execute(ADD_REFUND, bound)).rowcount)


async def add_many(conn: AsyncConnection, terms: Collection[tuple[UUID, Term]]) -> None:
    """Terms whose documents are new, each with its account."""
    await db.copy_rows(conn, "paid_term", TERM, (_term_row(*each) for each in terms))


async def add_refunds(conn: AsyncConnection, terms: Collection[Term]) -> None:
    """The refunds of terms that had none; their documents are new."""
    await db.copy_rows(conn, "term_refund", REFUND, map(_refund_row, terms))


def _term_row(account_id: UUID, term: Term) -> tuple[Any, ...]:
    """In the order of TERM."""
    benefits = to_json(term.benefits).decode()
    named = {name: getattr(term, name, None) for name in TERM}
    return tuple((named | {"account_id": account_id, "benefits": benefits}).values())


def _refund_row(term: Term) -> tuple[Any, ...]:
    """In the order of REFUND."""
    refund = term.refund
    assert refund, "there is a refund to add"
    return (
        *(refund.document_id, term.document_id, refund.at, refund.days_unused, refund.days),
        refund.amount_minor,
    )


def _term(row: Row[Any]) -> Term:
    term, refund = row[1 : 1 + TERM_COLUMNS], row[1 + TERM_COLUMNS :]
    values = (*term, Refund(*refund) if refund[0] else None)
    return Term(*values)
