"""Trying a rule on past orders before it is switched on (`backtest.py`).

    POST /v1/rules/{id}/back-test

Nothing is written. Members are told by their accounts' ids, which lead to no name. Tier and
order number are those of the day; segments, attributes and birthdays as they are known now.
"""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.api.carts import Moment
from services.loyalty.books.programme import programme_at
from services.loyalty.earning import snapshots
from services.loyalty.earning.backtest import Side, Trial
from services.loyalty.earning.carts import known
from services.loyalty.earning.rules import (
    EarningRule,
    Rule,
    all_rules,
    asked_by,
    rulebook_at,
    with_candidate,
)
from services.loyalty.spending.redemption import worth
from services.loyalty.store import decisions as store
from services.loyalty.store import definitions
from services.loyalty.store.decisions import Placed
from services.loyalty.terms.cart import Cart, Shopper
from services.loyalty.terms.definitions import Book, DefinitionId, Version
from services.loyalty.work import deciding
from shared import aliases
from shared.errors import NotFound, Reject, Unprocessable
from shared.http.auth import needs
from shared.http.context import Body, Context, Ctx

router = APIRouter(prefix="/v1/rules", tags=["definitions"])

ORDERS_MAX = 5_000
"""At 20 rules and ten lines an order takes 2 ms: within a request's time."""
PAGE = 200
SHOWN = 10

Past = tuple[Cart, Shopper, str, int]
"""A past order: who bought, by account, and what was awarded."""


class BackTest(Body):
    """On which orders, by when they were placed; `rule`, or a version that is laid down."""

    since: Moment
    until: Moment
    rule: EarningRule | None = None
    version: Annotated[int, Field(ge=1)] | None = None
    orders_max: Annotated[int, Field(ge=1, le=ORDERS_MAX)] = ORDERS_MAX

    @model_validator(mode="after")
    def _one_rule(self) -> "BackTest":
        if self.rule and self.version:
            raise ValueError("rule and version: give one of them")
        if self.until <= self.since:
            raise ValueError("until: give a time after since")
        return self


class MemberView(BaseModel):
    """By how many points an account would have more, or less."""

    account_id: str
    points: int


class BackTestView(BaseModel):
    """Points given to these orders: `points_before` by the rules of their days,
    `points_after` with the rule in force. `points_awarded` is what they got in fact."""

    rule_id: str
    orders: int
    complete: bool
    """False: there are more orders in the range than were looked at, up to `looked_until`."""
    looked_until: datetime
    points_awarded: int
    points_before: int
    points_after: int
    cost_points: int
    cost_minor: int
    """What the cost is worth at the checkout, by the programme of now."""
    currency: str
    orders_up: int
    orders_down: int
    members_up: int
    members_down: int
    top_winners: list[MemberView]
    top_losers: list[MemberView]


@router.post("/{rule_id}/back-test", openapi_extra=needs("loyalty:read"))
async def back_test(
    rule_id: Annotated[DefinitionId, Path()], body: BackTest, context: Ctx
) -> BackTestView:
    """What would this rule have cost, and whom would it have given more or less?"""
    async with context.engine.connect() as conn:
        book = await definitions.book(conn)
    candidate = _candidate(book, rule_id, body)
    base = context.stores.base_currency
    trial = Trial(
        Side(lambda cart: rulebook_at(book, cart.at, base)),
        Side(lambda cart: with_candidate(book, cart.at, base, candidate)),
    )
    last: Placed | None = None
    complete = False
    while not complete and trial.orders < body.orders_max:
        after = (last.placed_at, last.order_id) if last else (body.since, "")
        limit = min(PAGE, body.orders_max - trial.orders)
        async with context.engine.connect() as conn:
            page = await store.list_placed(conn, body.since, body.until, after, limit)
            past = await _past(conn, page, candidate, context)
        # In a thread: other requests are answered meanwhile.
        await asyncio.to_thread(_run, trial, past)
        complete, last = len(page) < limit, page[-1] if page else last
    looked_until = body.until if complete or last is None else last.placed_at
    return _view(trial, rule_id, context, book, complete=complete, until=looked_until)


def _candidate(book: Book, rule_id: str, body: BackTest) -> Rule:
    versions = book.versions(EarningRule, rule_id)
    if body.rule:
        found: Rule = Version(rule_id, len(versions) + 1, body.since, body.rule)
    else:
        wanted = [each for each in versions if body.version in {None, each.version}]
        if not wanted:
            raise NotFound("nothing of this id and version has been laid down")
        found = wanted[-1]
    if found.body.on != "order":
        raise Unprocessable("on: past orders tell nothing about a rule for actions")
    return found


async def _past(
    conn: AsyncConnection, page: list[Placed], candidate: Rule, context: Context
) -> list[Past]:
    """The orders as the rules see them."""
    book = await definitions.book(conn)
    wanted = asked_by([*all_rules(book), candidate])
    people = await aliases.people_of(conn, [one.customer_id for one in page if one.customer_id])
    shoppers = await deciding.load_shoppers(conn, people, wanted, {})
    carts = [
        snapshots.cart_from(one.cart, one.order_id, one.placed_at, context.stores) for one in page
    ]
    bought = {item.product_id for cart in carts for item in cart.items}
    products = await deciding.load_products(conn, bought, wanted)
    return [
        (
            known(cart, products),
            _then(one, shoppers.get(one.customer_id or "")),
            str(one.account_id or ""),
            sum(line[1] for line in one.lines.values()),
        )
        for one, cart in zip(page, carts, strict=True)
    ]


def _then(one: Placed, now: Shopper | None) -> Shopper:
    then = snapshots.shopper_from(one.shopper or {}, one.customer_id or "")
    if now is None:
        return then
    return replace(
        now,
        tier=then.tier,
        tier_percent=then.tier_percent,
        orders_before=then.orders_before,
        joined_at=then.joined_at,
    )


def _run(trial: Trial, past: list[Past]) -> None:
    for one in past:
        try:
            trial.take(*one)
        except Reject as error:
            raise Unprocessable(str(error)) from None


def _view(
    trial: Trial, rule_id: str, context: Context, book: Book, *, complete: bool, until: datetime
) -> BackTestView:
    currency = context.stores.base_currency
    cost = trial.after.points - trial.before.points
    terms = programme_at(book, context.clock.now()).redemption
    money = worth(abs(cost), terms, currency)
    return BackTestView(
        rule_id=rule_id,
        orders=trial.orders,
        complete=complete,
        looked_until=until,
        points_awarded=trial.awarded,
        points_before=trial.before.points,
        points_after=trial.after.points,
        cost_points=cost,
        cost_minor=money if cost >= 0 else -money,
        currency=currency,
        orders_up=trial.up,
        orders_down=trial.down,
        members_up=trial.winners,
        members_down=trial.losers,
        top_winners=_members(trial, best=True),
        top_losers=_members(trial, best=False),
    )


def _members(trial: Trial, *, best: bool) -> list[MemberView]:
    found = trial.extremes(SHOWN, best=best)
    return [MemberView(account_id=who, points=change) for who, change in found]
