"""What the sender does with notices: claim, hand over, record. Leases run by PostgreSQL's clock."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.notices import Failure, State
from services.notify.policy import RULES, Kind, Reason
from shared import db

# SKIP LOCKED: two senders at once take different rows. A lease that ran out before the
# hand-over is due again, and is taken like any other. A kind that this release does not know
# waits for one that does.
CLAIM = text("""
    WITH due AS MATERIALIZED (
        SELECT id FROM notice
        WHERE state IN ('created', 'leased') AND due_at <= now()
            AND kind = ANY(CAST(:kinds AS text[]))
        ORDER BY due_at
        LIMIT :claim_max
        FOR UPDATE SKIP LOCKED
    )
    UPDATE notice
    SET state = 'leased', lease = :lease, due_at = now() + make_interval(secs => :lease_s)
    FROM due WHERE notice.id = due.id
    RETURNING notice.id, notice.customer_id
""")
# By whoever knows that the provider has not been given it, even if the commit that says
# `handed_over` went through and its reply was lost.
GIVE_BACK = text("""
    UPDATE notice
    SET state = 'created', lease = NULL, due_at = now(),
        attempts = attempts - CASE WHEN state = 'handed_over' THEN 1 ELSE 0 END
    WHERE id = ANY(CAST(:ids AS uuid[])) AND lease = :lease
        AND state IN ('leased', 'handed_over')
""")
# Not once the lease has run out: another sender may have it in hand.
GET_LEASED = text("""
    SELECT notice.id, notice.customer_id, notice.kind, notice.channel, notice.order_id,
        notice.store, notice.event_time, notice.content, notice.traceparent, notice.attempts,
        now() - notice.created_at, coalesce(shop_order.cancelled, false), shop_order.contact
    FROM notice LEFT JOIN shop_order ON shop_order.order_id = notice.order_id
    WHERE notice.id = :id AND notice.state = 'leased' AND notice.lease = :lease
        AND notice.due_at > now()
    FOR UPDATE OF notice
""")
HAND_OVER = text("""
    UPDATE notice
    SET state = 'handed_over', attempts = attempts + 1,
        due_at = now() + make_interval(secs => :lease_s), template = :template,
        template_version = :template_version, locale = :locale, address = :address,
        message_id = :message_id, decision = CAST(:decision AS jsonb)
    WHERE id = :id
""")
HOLD = text("""
    UPDATE notice
    SET state = 'created', lease = NULL, due_at = now() + make_interval(secs => :delay_s),
        decision = CAST(:decision AS jsonb)
    WHERE id = :id
""")
SUPPRESS = text("""
    UPDATE notice
    SET state = 'suppressed', reason = :reason, lease = NULL, settled_at = now(),
        decision = CAST(:decision AS jsonb)
    WHERE id = :id
""")
# Also one that was meanwhile given up as unknown: whoever handed it over knows better. One
# whose customer was erased meanwhile is not tried again.
RECORD = text("""
    WITH result AS (
        SELECT id, CASE WHEN again AND customer_id IS NULL THEN 'suppressed'
                ELSE CAST(:state AS text) END AS state,
            CASE WHEN again AND customer_id IS NULL THEN 'erased'
                ELSE CAST(:reason AS text) END AS reason
        FROM notice, LATERAL (SELECT CAST(:state AS text) = 'created' AS again) AS what
        WHERE id = :id AND lease = :lease AND notice.state IN ('handed_over', 'unknown')
        FOR UPDATE OF notice
    )
    UPDATE notice
    SET state = result.state, reason = result.reason,
        due_at = now() + make_interval(secs => :delay_s),
        settled_at = CASE WHEN result.state = 'created' THEN NULL ELSE now() END
    FROM result WHERE notice.id = result.id
    RETURNING customer_id
""")
ADD_ATTEMPT = text("""
    INSERT INTO attempt (notice_id, number, at, provider, outcome, code, took_ms)
    VALUES (:notice_id, :number, now(), :provider, :outcome, :code, :took_ms)
    ON CONFLICT (notice_id, number) DO UPDATE
    SET outcome = excluded.outcome, code = excluded.code, took_ms = excluded.took_ms
""")
# Whoever had these in hand died, or lost the database, between hand-over and record.
GIVE_UP_LOST = text("""
    WITH lost AS MATERIALIZED (
        SELECT id FROM notice WHERE state = 'handed_over' AND due_at < now()
        ORDER BY due_at
        LIMIT :lost_max
        FOR UPDATE SKIP LOCKED
    ), given_up AS (
        UPDATE notice SET state = 'unknown', settled_at = now()
        FROM lost WHERE notice.id = lost.id
        RETURNING notice.id, notice.attempts
    )
    INSERT INTO attempt (notice_id, number, at, provider, outcome, code)
    SELECT id, attempts, now(), :provider, 'unknown', 'lost' FROM given_up
    ON CONFLICT (notice_id, number) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notice that is ours to look at."""

    id: UUID
    customer_id: str


@dataclass(frozen=True, slots=True)
class Leased:
    """What a decision needs of the notice and of its order as they stand now."""

    id: UUID
    customer_id: str
    kind: Kind
    channel: str
    order_id: str | None
    store: str
    time: datetime
    content: Mapping[str, Any]
    traceparent: str
    attempts: int
    waited: timedelta
    cancelled: bool
    contact: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Result:
    """What becomes of a notice after an attempt; `retry_in` for one that is tried again."""

    state: State
    outcome: str
    code: str
    reason: Failure | None = None
    retry_in: timedelta = timedelta()


async def claim(
    conn: AsyncConnection, lease: UUID, *, claim_max: int, lease_s: float
) -> list[Claimed]:
    bound = {"lease": lease, "claim_max": claim_max, "lease_s": lease_s, "kinds": list(RULES)}
    return await db.fetch(conn, CLAIM, Claimed, **bound)


async def give_back(conn: AsyncConnection, lease: UUID, ids: Sequence[UUID]) -> None:
    """Others may take these; the provider has not been given any of them."""
    await conn.execute(GIVE_BACK, {"lease": lease, "ids": list(ids)})


async def get_leased(conn: AsyncConnection, lease: UUID, notice_id: UUID) -> Leased | None:
    """The notice, locked until commit; None if it is no longer ours."""
    return await db.fetch_one(conn, GET_LEASED, Leased, lease=lease, id=notice_id)


async def hand_over(
    conn: AsyncConnection, notice_id: UUID, decision: Mapping[str, Any], **more: Any
) -> None:
    """From here on the provider may have it: `lease_s`, and the text and way that were chosen."""
    bound = {"id": notice_id, "decision": json.dumps(decision), **more}
    await conn.execute(HAND_OVER, bound)


async def hold(
    conn: AsyncConnection, notice_id: UUID, decision: Mapping[str, Any], delay: timedelta
) -> None:
    bound = {"decision": json.dumps(decision), "delay_s": delay.total_seconds()}
    await conn.execute(HOLD, {"id": notice_id, **bound})


async def suppress(
    conn: AsyncConnection, notice_id: UUID, decision: Mapping[str, Any], reason: Reason
) -> None:
    bound = {"decision": json.dumps(decision), "reason": reason}
    await conn.execute(SUPPRESS, {"id": notice_id, **bound})


async def record(conn: AsyncConnection, lease: UUID, notice_id: UUID, result: Result) -> str | None:
    """Whose notice it is, or None if it is no longer ours, or nobody's."""
    customer_id: str | None = await conn.scalar(
        RECORD,
        {
            "id": notice_id,
            "lease": lease,
            "state": result.state,
            "reason": result.reason,
            "delay_s": result.retry_in.total_seconds(),
        },
    )
    return customer_id


async def add_attempt(conn: AsyncConnection, notice_id: UUID, number: int, **more: Any) -> None:
    """`provider`, `outcome`, `code` and `took_ms`."""
    await conn.execute(ADD_ATTEMPT, {"notice_id": notice_id, "number": number, **more})


async def give_up_lost(conn: AsyncConnection, provider: str, lost_max: int) -> int:
    """Call unknown what nobody will record any more; how many there were."""
    done = await conn.execute(GIVE_UP_LOST, {"provider": provider, "lost_max": lost_max})
    return done.rowcount
