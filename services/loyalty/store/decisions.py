"""What each order was awarded, by which rules, and on what."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.points import RuleName
from services.loyalty.earning import snapshots
from services.loyalty.earning.decisions import Decision, Made
from services.loyalty.earning.snapshots import AwardSnapshot
from services.loyalty.earning.usage import Credit
from shared import db

LOAD_DECISIONS = text("""
    SELECT order_id, placed_at, mark, counted, rule_id, rule_version, more_rules, shopper, credits
    FROM order_decision
    WHERE order_id = ANY(CAST(:order_ids AS text[]))
""")
# Without a cart only what is counted has changed.
SAVE_DECISIONS = text("""
    UPDATE order_decision
    SET placed_at = new.placed_at, mark = new.mark, counted = new.counted, rule_id = new.rule_id,
        rule_version = new.rule_version, more_rules = new.more_rules, shopper = new.shopper,
        credits = new.credits,
        cart = coalesce(new.cart, order_decision.cart),
        verdicts = coalesce(new.verdicts, order_decision.verdicts)
    FROM unnest(
        CAST(:order_id AS text[]), CAST(:placed_at AS timestamptz[]), CAST(:mark AS text[]),
        CAST(:counted AS boolean[]), CAST(:rule_id AS text[]), CAST(:rule_version AS int[]),
        CAST(:more_rules AS jsonb[]), CAST(:shopper AS jsonb[]), CAST(:credits AS jsonb[]),
        CAST(:cart AS jsonb[]), CAST(:verdicts AS jsonb[])
    ) AS new (
        order_id, placed_at, mark, counted, rule_id, rule_version, more_rules, shopper, credits,
        cart, verdicts
    )
    WHERE order_decision.order_id = new.order_id
""")
GET_MADE = text("SELECT placed_at, cart, verdicts FROM order_decision WHERE order_id = :order_id")
LIST_PLACED = text("""
    SELECT d.order_id, d.placed_at, d.cart, d.shopper, s.customer_id, m.account_id, s.lines
    FROM order_decision AS d
    JOIN order_state AS s USING (order_id)
    LEFT JOIN member AS m ON m.customer_id = s.customer_id
    WHERE d.placed_at >= :since AND d.placed_at < :until
        AND (d.placed_at, d.order_id) > (:after_time, :after_id)
        AND d.cart IS NOT NULL AND s.verdict = 'earns'
    ORDER BY d.placed_at, d.order_id
    LIMIT :orders_max
""")
# The decision in force is that of the last revision that was decided.
LIST_AWARDS = text("""
    SELECT line_id, rule_id, rule_version, basis_minor, points, inputs
    FROM award_snapshot
    WHERE order_id = :order_id
        AND revision = (SELECT max(revision) FROM award_snapshot WHERE order_id = :order_id)
    ORDER BY line_id, points DESC, rule_id
""")
FORGET_SHOPPERS = text("""
    UPDATE order_decision AS d SET shopper = NULL
    FROM order_state AS s
    WHERE s.customer_id = ANY(CAST(:customer_ids AS text[])) AND d.order_id = s.order_id
""")
ORDER_DECISION = (
    *("order_id", "placed_at", "mark", "counted", "rule_id", "rule_version"),
    *("more_rules", "shopper", "credits", "cart", "verdicts"),
)
AWARD_SNAPSHOT = (
    *("order_id", "revision", "line_id", "rule_id", "rule_version"),
    *("basis_minor", "points", "inputs"),
)


@dataclass(frozen=True, slots=True)
class Award:
    """What one rule gave one line, and on what."""

    line_id: str
    rule_id: str
    rule_version: int
    basis_minor: int
    points: int
    inputs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Placed:
    """A past order, as it was decided on."""

    order_id: str
    placed_at: datetime
    cart: dict[str, Any]
    shopper: dict[str, Any] | None
    customer_id: str | None
    account_id: Any
    lines: dict[str, list[int]]


async def load(conn: AsyncConnection, order_ids: Collection[str]) -> dict[str, Decision]:
    """What is decided of the orders so far, by id."""
    rows = await db.run(conn, LOAD_DECISIONS, order_ids=sorted(order_ids))
    return {row[0]: _decision(row) for row in rows}


async def save(
    conn: AsyncConnection,
    before: Collection[str],
    after: Iterable[Decision],
    made: Iterable[Made],
) -> None:
    """Write what a batch has decided; `before`: the orders that have a row."""
    whole = {one.cart.order_id: one for one in made}
    rows = [_row(decision, whole.get(decision.order_id)) for decision in after]
    if new := [row for row in rows if row[0] not in before]:
        await db.copy_rows(conn, "order_decision", ORDER_DECISION, new)
    if changed := [row for row in rows if row[0] in before]:
        columns = map(list, zip(*changed, strict=True))
        await conn.execute(SAVE_DECISIONS, dict(zip(ORDER_DECISION, columns, strict=True)))


async def keep_awards(conn: AsyncConnection, awards: Iterable[AwardSnapshot]) -> None:
    """Append decisions. The lines of one rule in one order share their inputs, written once."""
    written: dict[int, str] = {}
    rows = [
        (
            award.order_id,
            award.revision,
            award.line_id,
            award.rule.id,
            award.rule.version,
            award.basis_minor,
            award.points,
            written.get(id(award.inputs))
            or written.setdefault(id(award.inputs), to_json(award.inputs).decode()),
        )
        for award in list(awards)  # all at once: an id is an object's own while it lives
    ]
    if rows:
        await db.copy_rows(conn, "award_snapshot", AWARD_SNAPSHOT, rows)


async def list_awards(conn: AsyncConnection, order_id: str) -> dict[str, list[Award]]:
    """The decision in force, by line: what gave most comes first."""
    found: defaultdict[str, list[Award]] = defaultdict(list)
    for award in await db.fetch(conn, LIST_AWARDS, Award, order_id=order_id):
        found[award.line_id].append(award)
    return found


async def get_made(
    conn: AsyncConnection, order_id: str
) -> tuple[datetime, dict[str, Any] | None, list[Any] | None] | None:
    """When the order was placed, its cart and the verdicts, as kept."""
    row = (await conn.execute(GET_MADE, {"order_id": order_id})).one_or_none()
    return (row[0], row[1], row[2]) if row else None


async def list_placed(
    conn: AsyncConnection,
    since: datetime,
    until: datetime,
    after: tuple[datetime, str],
    orders_max: int,
) -> list[Placed]:
    """Orders that earn, by when they were placed."""
    return await db.fetch(
        conn,
        LIST_PLACED,
        Placed,
        since=since,
        until=until,
        after_time=after[0],
        after_id=after[1],
        orders_max=orders_max,
    )


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Who bought goes from the decisions; how many there were. Before the orders' own."""
    done = await conn.execute(FORGET_SHOPPERS, {"customer_ids": sorted(customer_ids)})
    return done.rowcount


def _row(decision: Decision, made: Made | None) -> tuple[Any, ...]:
    """In the order of ORDER_DECISION."""
    most, *others = decision.rules
    credits_ = [(c.rule_id, c.periods, c.budget, c.lines) for c in decision.credits]
    return (
        decision.order_id,
        decision.placed_at,
        decision.mark,
        decision.counted,
        most.id,
        most.version,
        to_json(others).decode(),
        _json(snapshots.shopper_row(decision.shopper)),
        to_json(credits_).decode(),
        _json(snapshots.cart_row(made.cart) if made else None),
        _json(snapshots.verdicts(made.awards) if made else None),
    )


def _json(value: object) -> str | None:
    return None if value is None else to_json(value).decode()


def _decision(row: Sequence[Any]) -> Decision:
    order_id, placed_at, mark, counted, *most, others, shopper, credits_ = row
    return Decision(
        order_id,
        placed_at,
        mark,
        counted=counted,
        shopper=None if shopper is None else snapshots.shopper_from(shopper, ""),
        credits=tuple(Credit(c[0], tuple(c[1]), c[2], c[3]) for c in credits_),
        rules=(RuleName(*most), *(RuleName(*other) for other in others)),
    )
