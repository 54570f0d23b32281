"""Whose account it is, and what it holds.

A balance's row is the customer's lock: every transaction that moves points takes all the
balances that it needs at once, in the order of the customer ids, before any other lock.
"""

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.ledger import Account
from shared import db

# In key order, so that two batches with the same new customers cannot deadlock. The account
# id is drawn here and nowhere else: no retry can draw another for a customer who has one.
ADD_MEMBERS = text("""
    WITH added AS (
        INSERT INTO member (customer_id)
        SELECT id FROM unnest(CAST(:customer_ids AS text[])) AS wanted (id)
        WHERE NOT EXISTS (SELECT FROM member WHERE member.customer_id = wanted.id)
        ORDER BY id
        ON CONFLICT (customer_id) DO NOTHING
        RETURNING account_id
    )
    INSERT INTO balance (account_id) SELECT account_id FROM added
""")
LOCK_ACCOUNTS = text("""
    SELECT m.customer_id, b.account_id, b.pending, b.active, b.reserved, b.owed, b.version
    FROM member AS m JOIN balance AS b USING (account_id)
    WHERE m.customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY m.customer_id
    FOR UPDATE OF b
""")
# The same of all ids of a person, in one round trip: it is the checkout's.
LOCK_PERSON = text("""
    SELECT m.customer_id, b.account_id, b.pending, b.active, b.reserved, b.owed, b.version
    FROM member AS m JOIN balance AS b USING (account_id)
    WHERE m.customer_id = ANY(coalesce(
        (SELECT members FROM alias WHERE customer_id = CAST(:customer_id AS text)),
        ARRAY[CAST(:customer_id AS text)]
    ))
    ORDER BY m.customer_id
    FOR UPDATE OF b
""")
# In the same order; the accounts of the erased, which nobody else locks, come last.
LOCK_BY_ACCOUNT = text("""
    SELECT coalesce(m.customer_id, ''), b.account_id, b.pending, b.active, b.reserved, b.owed,
        b.version
    FROM balance AS b LEFT JOIN member AS m USING (account_id)
    WHERE b.account_id = ANY(CAST(:account_ids AS uuid[]))
    ORDER BY m.customer_id NULLS LAST, b.account_id
    FOR UPDATE OF b
""")
LIST_OWNERS = text("""
    SELECT account_id, customer_id FROM member
    WHERE account_id = ANY(CAST(:account_ids AS uuid[]))
""")
SAVE_BALANCES = text("""
    UPDATE balance
    SET pending = new.pending, active = new.active, reserved = new.reserved, owed = new.owed,
        version = new.version
    FROM unnest(
        CAST(:account_ids AS uuid[]), CAST(:pending AS bigint[]), CAST(:active AS bigint[]),
        CAST(:reserved AS bigint[]), CAST(:owed AS bigint[]), CAST(:versions AS bigint[])
    ) AS new (account_id, pending, active, reserved, owed, version)
    WHERE balance.account_id = new.account_id
""")
FORGET_MEMBERS = text("""
    DELETE FROM member WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")


async def add_missing(conn: AsyncConnection, customer_ids: Collection[str]) -> None:
    """An empty account for each customer who has none."""
    if customer_ids:
        await conn.execute(ADD_MEMBERS, {"customer_ids": sorted(customer_ids)})


async def lock(conn: AsyncConnection, customer_ids: Iterable[str]) -> dict[str, Account]:
    """The customers' accounts, by customer id, locked until commit; some may have none."""
    wanted = sorted(set(customer_ids))
    accounts = await db.fetch(conn, LOCK_ACCOUNTS, Account, customer_ids=wanted)
    return {account.customer_id: account for account in accounts}


async def lock_person(conn: AsyncConnection, customer_id: str) -> list[Account]:
    """The same of whoever stands behind an id, under all ids that he has."""
    return await db.fetch(conn, LOCK_PERSON, Account, customer_id=customer_id)


async def lock_accounts(conn: AsyncConnection, account_ids: Iterable[UUID]) -> list[Account]:
    """The same by account: for jobs. The customer's id is empty where he was erased."""
    wanted = sorted(set(account_ids))
    return await db.fetch(conn, LOCK_BY_ACCOUNT, Account, account_ids=wanted)


async def list_owners(conn: AsyncConnection, account_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Whose accounts these are, not locked; those of the erased are left out."""
    rows = await conn.execute(LIST_OWNERS, {"account_ids": sorted(set(account_ids))})
    return dict(map(tuple, rows))


async def save(conn: AsyncConnection, accounts: Collection[Account]) -> None:
    """What the accounts now hold; they are locked."""
    if not accounts:
        return
    saved = await conn.execute(
        SAVE_BALANCES,
        {
            "account_ids": [account.account_id for account in accounts],
            "pending": [account.pending for account in accounts],
            "active": [account.active for account in accounts],
            "reserved": [account.reserved for account in accounts],
            "owed": [account.owed for account in accounts],
            "versions": [account.version for account in accounts],
        },
    )
    assert saved.rowcount == len(accounts), "every locked account has its balance"


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Delete the links; how many there were. The balances stay, and are nobody's."""
    gone = await conn.execute(FORGET_MEMBERS, {"customer_ids": sorted(customer_ids)})
    return gone.rowcount
