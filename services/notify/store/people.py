"""Customers, their contact points and consents."""

from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.people import Consent, Contact, Person, Restriction
from shared import db

ADD_CUSTOMERS = text("""
    INSERT INTO customer (customer_id)
    SELECT customer_id FROM unnest(CAST(:customer_ids AS text[])) AS missing (customer_id)
    ORDER BY customer_id
    ON CONFLICT DO NOTHING
""")
# Locked in key order, so that two transactions which share customers cannot deadlock.
LOCK_CUSTOMERS = text("""
    SELECT customer_id FROM customer
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY customer_id
    FOR UPDATE
""")
SAVE_RESTRICTIONS = text("""
    UPDATE customer SET restricted = new.restricted, restriction_version = new.version
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:restricted AS boolean[]), CAST(:versions AS bigint[])
    ) AS new (customer_id, restricted, version)
    WHERE customer.customer_id = new.customer_id AND customer.restriction_version < new.version
""")
SAVE_CONTACTS = text("""
    INSERT INTO contact (customer_id, field, value, told_at, source, event_id)
    SELECT * FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:fields AS text[]), CAST(:values AS text[]),
        CAST(:told_ats AS timestamptz[]), CAST(:sources AS text[]), CAST(:event_ids AS text[])
    )
    ON CONFLICT (customer_id, field) DO UPDATE
    SET value = excluded.value, told_at = excluded.told_at, source = excluded.source,
        event_id = excluded.event_id
    WHERE (contact.told_at, contact.source, contact.event_id)
        < (excluded.told_at, excluded.source, excluded.event_id)
""")
SAVE_CONSENTS = text("""
    INSERT INTO consent (customer_id, purpose, channel, state, version, at)
    SELECT * FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:purposes AS text[]), CAST(:channels AS text[]),
        CAST(:states AS text[]), CAST(:versions AS bigint[]), CAST(:ats AS timestamptz[])
    )
    ON CONFLICT (customer_id, purpose, channel) DO UPDATE
    SET state = excluded.state, version = excluded.version, at = excluded.at
    WHERE consent.version < excluded.version
""")
LIST_CONTACTS = text("""
    SELECT customer_id, field, value, told_at, source, event_id FROM contact
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
LIST_CONSENTS = text("""
    SELECT customer_id, purpose, channel, state, version, at FROM consent
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
ANY_RESTRICTED = text("""
    SELECT EXISTS (
        SELECT FROM customer
        WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND restricted
    )
""")


async def lock(conn: AsyncConnection, customer_ids: Collection[str], *, add: bool = False) -> None:
    """Keep others from these customers until commit; with `add`, from new ones too."""
    ids = {"customer_ids": sorted(set(customer_ids))}
    if add:
        await conn.execute(ADD_CUSTOMERS, ids)
    await conn.execute(LOCK_CUSTOMERS, ids)


async def save_contacts(conn: AsyncConnection, contacts: Sequence[Contact]) -> None:
    await conn.execute(
        SAVE_CONTACTS,
        {
            "customer_ids": [contact.customer_id for contact in contacts],
            "fields": [contact.field for contact in contacts],
            "values": [contact.value for contact in contacts],
            "told_ats": [contact.told_at for contact in contacts],
            "sources": [contact.source for contact in contacts],
            "event_ids": [contact.event_id for contact in contacts],
        },
    )


async def save_consents(conn: AsyncConnection, consents: Sequence[Consent]) -> None:
    await conn.execute(
        SAVE_CONSENTS,
        {
            "customer_ids": [consent.customer_id for consent in consents],
            "purposes": [consent.purpose for consent in consents],
            "channels": [consent.channel for consent in consents],
            "states": [consent.state for consent in consents],
            "versions": [consent.version for consent in consents],
            "ats": [consent.at for consent in consents],
        },
    )


async def save_restrictions(conn: AsyncConnection, restrictions: Sequence[Restriction]) -> None:
    await conn.execute(
        SAVE_RESTRICTIONS,
        {
            "customer_ids": [restriction.customer_id for restriction in restrictions],
            "restricted": [restriction.restricted for restriction in restrictions],
            "versions": [restriction.version for restriction in restrictions],
        },
    )


async def load_person(conn: AsyncConnection, members: Collection[str]) -> Person:
    """What all these ids hold together."""
    ids = sorted(members)
    contacts = await db.fetch(conn, LIST_CONTACTS, Contact, customer_ids=ids)
    consents = await db.fetch(conn, LIST_CONSENTS, Consent, customer_ids=ids)
    restricted = await conn.scalar(ANY_RESTRICTED, {"customer_ids": ids})
    return Person(tuple(contacts), tuple(consents), bool(restricted))
