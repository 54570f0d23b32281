"""What points will cost: owed now, expiring soon, awarded lately; in points and in money.

Breakage is counted on by the redemption curve of the last closed month; without one, on none.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books import accounting
from services.loyalty.books.accounting import Day, month_of, name_of
from services.loyalty.reporting import finance
from services.loyalty.reporting.finance import Curve
from services.loyalty.reporting.statement import Group, Key
from services.loyalty.reporting.valuation import PointValue, policy_at, round_half_up
from services.loyalty.store import closings, definitions, statements
from services.loyalty.store.statements import Given
from shared.errors import Unprocessable
from shared.http.auth import needs
from shared.http.context import Context, Ctx

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])

SUMS = needs("audit:read", "loyalty:read", seconds_max=60)
NOTHING_GIVEN = Given(0, 0)


class Basis(BaseModel):
    """What the figures rest on."""

    currency: str
    value: PointValue
    policy_version: int
    breakage_from: str | None
    """The closed month whose redemption curve is used; null: no breakage is counted on."""


class Owed(BaseModel):
    """Points, what they are worth, and what of both nobody is expected to ask for."""

    store: str
    group: Group
    cohort: str | None
    points: int
    minor: int
    breakage_points: int
    breakage_minor: int


class Liability(BaseModel):
    """What members are owed at a moment. Money is rounded in each row; sums are of rows."""

    at: datetime
    basis: Basis
    points: int
    minor: int
    breakage_points: int
    breakage_minor: int
    rows: list[Owed]


class ExpiryMonth(BaseModel):
    """The most that can expire in a month, and what is expected to."""

    month: str
    points_max: int
    points_expected: int
    minor_max: int
    minor_expected: int


class Expiry(BaseModel):
    """What expires month by month, of what members hold now."""

    basis: Basis
    months: list[ExpiryMonth]


class Cost(BaseModel):
    """Points that were given out on some days, and what they are expected to cost."""

    name: str
    points: int
    """Gross: what was earned."""
    reversed: int
    """Taken back from members on these days, whenever it was given."""
    minor_expected: int
    """Of the gross points."""


class RuleCost(Cost):
    """Of a rule of orders or of actions, or of a side of referrals: `referrer`, `friend`.

    `import/...`: what the orders of such a batch had earned in another system.
    """

    source: Literal["order", "action", "referral"]


class Withheld(BaseModel):
    """Of orders that wait for review, or were declined: in the books, and not given to anybody."""

    points: int
    reversed: int


class Costs(BaseModel):
    """Of some days by accounting date, the last one left out.

    The rules sum to what the tiers sum to; with `withheld` that is `earned` and `reversed`, which
    are those of the closing statement.
    """

    basis: Basis
    earned: int
    reversed: int
    withheld: Withheld
    rules: list[RuleCost]
    """By what gave the points."""
    tiers: list[Cost]
    """By the member's tier when the order was decided; "": none, or not by an order."""


@router.get("/liability", openapi_extra=SUMS)
async def get_liability(context: Ctx) -> Liability:
    """What members are owed now, by store and by the month in which points became spendable."""
    basis, known = await _basis(context)
    zone = accounting.calendar(context.stores, None).zone
    found = await statements.sum_outstanding(context.hot, str(zone))
    month = month_of(context.clock.now().astimezone(zone).date())
    held = [(Key(store, "lots", cohort), points) for store, cohort, points in found.lots]
    held += [(Key("", "pending"), found.pending), (Key("", "owed"), -found.owed)]
    rows = [_owed(key, points, month, known, basis) for key, points in held if points]
    return Liability(
        at=found.at,
        basis=basis,
        points=sum(row.points for row in rows),
        minor=sum(row.minor for row in rows),
        breakage_points=sum(row.breakage_points for row in rows),
        breakage_minor=sum(row.breakage_minor for row in rows),
        rows=rows,
    )


@router.get("/forecast", openapi_extra=SUMS)
async def get_forecast(context: Ctx) -> Expiry:
    """What will expire in each month: at most, and as redemption goes."""
    basis, known = await _basis(context)
    zone = accounting.calendar(context.stores, None).zone
    found = await statements.sum_expiring(context.hot, str(zone))
    today = context.clock.now().astimezone(zone).date()
    of_one = basis.value.of_one
    months = [
        ExpiryMonth(
            month=name_of(each.month),
            points_max=each.points_max,
            points_expected=each.points_expected,
            minor_max=round_half_up(each.points_max * of_one),
            minor_expected=round_half_up(each.points_expected * of_one),
        )
        for each in finance.forecast(found, today, known)
    ]
    return Expiry(basis=basis, months=months)


@router.get("/costs", openapi_extra=SUMS)
async def get_costs(context: Ctx, since: Annotated[Day, Query(alias="from")], until: Day) -> Costs:
    """What each rule and tier was given on these days, and is expected to cost."""
    if until <= since:
        raise Unprocessable("until: give a day after `from`; it is the first that is left out")
    basis, known = await _basis(context)
    found = await statements.sum_awards(context.hot, since, until)
    withheld = found.by_tier.get(None, NOTHING_GIVEN)
    return Costs(
        basis=basis,
        earned=sum(given.points for given in found.by_tier.values()),
        reversed=sum(given.reversed for given in found.by_tier.values()),
        withheld=Withheld(**withheld._asdict()),
        rules=[
            RuleCost(source=source, **_cost(name, given, known, basis))
            for (source, name), given in found.by_rule.items()
        ],
        tiers=[
            Cost(**_cost(tier, given, known, basis))
            for tier, given in found.by_tier.items()
            if tier is not None
        ],
    )


async def _basis(context: Context) -> tuple[Basis, Curve | None]:
    async with context.engine.connect() as conn:
        policy = policy_at(await definitions.book(conn), context.clock.now())
        month, known = await _experience(conn)
    basis = Basis(
        currency=context.stores.base_currency,
        value=policy.policy.value,
        policy_version=policy.version,
        breakage_from=month,
    )
    return basis, known


async def _experience(conn: AsyncConnection) -> tuple[str | None, Curve | None]:
    """The last closed month, and its redemption curve."""
    newest = await closings.list_before(conn, date.max, 1)
    draft = await closings.get_draft(conn, newest[0].draft) if newest else None
    if draft is None or draft.statement.curve is None:
        return None, None
    return draft.statement.month, draft.statement.curve.curve()


def _cost(name: str, given: Given, known: Curve | None, basis: Basis) -> dict[str, Any]:
    minor = finance.cost(given.points, known, basis.value.of_one)
    return {"name": name, **given._asdict(), "minor_expected": minor}


def _owed(key: Key, points: int, month: date, known: Curve | None, basis: Basis) -> Owed:
    of_one = basis.value.of_one
    idle = finance.breakage(key, points, month, known)
    return Owed(
        store=key.store,
        group=key.group,
        cohort=name_of(key.cohort) if key.cohort else None,
        points=points,
        minor=round_half_up(points * of_one),
        breakage_points=int(idle),
        breakage_minor=int(idle * of_one),
    )
