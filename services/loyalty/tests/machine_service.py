"""The service as the state machine sees it: its doors, called from a thread, and its sums."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from services.loyalty.jobs import celebrating, timers
from services.loyalty.tests.machine_model import THRESHOLDS, WINDOW_DAYS, earned, tier
from services.loyalty.tests.shop import NOON
from services.loyalty.work import tiering
from shared.clock import Clock

HELD = """
    SELECT b.pending, b.active, b.reserved, b.owed,
        (SELECT coalesce(sum(expired), 0) FROM lot WHERE lot.account_id = b.account_id) AS expired
    FROM member AS m JOIN balance AS b USING (account_id)
    WHERE m.customer_id = ANY(:customers)
"""
WAITING = """
    SELECT id, type, payload FROM outbox WHERE aggregateid = ANY(:customers) ORDER BY seq
"""
MUCH = {"lines": [{"total_minor": 10**9}]}


class Service:
    """One loyalty, at one moment, for some customers."""

    def __init__(self, door, client, loop, name, customers):
        self.door, self.client, self.loop = door, client, loop
        self.name, self.customers, self.calls = name, list(customers), itertools.count()
        self.now, self.runs = NOON, 0
        self.messages = []
        self.heard: dict[str, Any] = {}
        self.owed: set[str] = set()
        self.seen: dict[str, tuple[Any, Any]] = {}

    def wait(self, what: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(60)

    def world(self):
        return replace(self.door.world, clock=Clock(frozen_at=self.now))

    # Its doors

    def give(self, *events, partition=None):
        found = [self.door.log.append(event, partition=partition) for event in events]
        self.messages += found
        self.wait(self.door.handle(found))

    def deliver_again(self, count):
        self.wait(self.door.again(*self.messages[-count:]))

    async def _ask(self, path, body=None):
        context = self.client._transport.app.state.context
        object.__setattr__(context, "clock", Clock(frozen_at=self.now))
        if body is None:
            return await self.client.get(path)
        headers = {"Idempotency-Key": f"{self.name}-{next(self.calls)}"}
        return await self.client.post(path, json=body, headers=headers)

    async def _get(self, path):
        answer = await self._ask(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, body, status):
        answer = self.wait(self._ask(path, body))
        assert answer.status_code == status, (answer.text, status)
        return answer.json()

    def spendable(self, customer):
        return self.post(f"/v1/accounts/{customer}/redemption-quotes", MUCH, 200)["spendable"]

    def card(self, customer):
        found = self.wait(self._get(f"/v1/accounts/{customer}/tier"))
        return found["tier"], found["counted"]

    # What time does

    def run_timers(self):
        self.runs += 1
        self.wait(self._run_timers())

    async def _run_timers(self):
        for job in timers.JOBS:
            await job.run(self.door.engine, self.world())

    def congratulate(self):
        self.wait(celebrating.congratulate(self.door.engine, self.world()))

    def decide_tiers(self):
        self.wait(tiering.JOB.run(self.door.engine, self.world()))

    def relay(self, *, dies):
        """It publishes what waits, and dies before it has noted that, or does not."""
        self.wait(self._relay(dies=dies))

    async def _relay(self, *, dies):
        rows = {row.id: row for row in await self._waiting()}
        assert self.owed <= rows.keys(), "what was not noted as published is published again"
        for id_, row in rows.items():
            known = self.heard.setdefault(id_, row)
            assert id_ in self.owed or known is row, f"{id_} is told twice"
            assert known == row, "the same id tells the same"
        self.owed = set(rows) if dies else set()
        if not dies:
            await self.door.published()

    async def _waiting(self):
        return await self.door.query(WAITING, customers=self.customers)

    # Its sums

    def check(self, model):
        """What may have changed since the last time, and all sums."""
        self.wait(self._check(model))

    def check_all(self, model):
        self.seen.clear()
        self.check(model)

    async def _check(self, model):
        books = await self._get("/v1/ledger/reconciliation")
        assert books["balanced"], books
        orders = [await self._order(event) for event in model.orders.values()]
        told = [await self._reservation(*item, model) for item in model.reservations.items()]
        for purse in model.purses():
            own = [one for one in orders if one["customer_id"] in purse]
            await self._check_purse(
                model, purse, own, [t for t in told if t["customer_id"] in purse]
            )
        for name in self.customers:
            await self._check_tier(model, name)
        await self._check_told(model, told)

    async def _order(self, event):
        """Its points, which are those of its last revision."""
        path = f"/v1/orders/{event.data.order_id}"
        told = await self._look(path, (event.data.revision, self.runs))
        assert told["pending"] + told["active"] == earned(event), (told, event)
        return told | {"customer_id": event.data.customer_id}

    async def _reservation(self, id_, one, model):
        """An open one may be freed by whoever needs its points."""
        order = model.orders.get(one.order_id)
        known = (one.state, order and order.data.revision, self.runs)
        told = await self._look(f"/v1/reservations/{id_}", known, again=one.state == "reserved")
        one.learn(told, self.now)
        return told

    async def _look(self, path, known, *, again=False):
        before, found = self.seen.get(path, (None, None))
        if again or before != known:
            found = await self._get(path)
            self.seen[path] = known, found
        return found

    async def _check_purse(self, model, purse, orders, told):
        rows = await self.door.query(HELD, customers=purse)
        held = Counter()
        for row in rows:
            held.update(row._mapping)
            alone = len(purse) == 1 and not told and model.adjusted[purse[0]] >= 0
            assert not (alone and row.owed and row.active), "who owes has spent"
        assert held["pending"] == sum(one["pending"] for one in orders)
        assert held["reserved"] == sum(t["points"] for t in told if t["state"] == "reserved")
        came = sum(one["active"] for one in orders) + model.given(purse)
        went = held["expired"] + spent(told)
        assert held["active"] + held["reserved"] - held["owed"] == came - went, (held, told)

    async def _check_tier(self, model, name):
        """What counts is exact; a tier lasts for its period, but not beyond what ever counted."""
        person, since = model.person(name), (self.now - timedelta(WINDOW_DAYS - 1)).date()
        counts, ever = model.counted(person, since), model.counted(person, date.min)
        card = await self._look(f"/v1/accounts/{name}/tier", (counts, ever, person, self.now))
        level = list(THRESHOLDS).index(card["tier"])
        assert card["counted"] == counts, card
        assert tier(counts) <= level <= tier(ever), card

    async def _check_told(self, model, told):
        """What others have heard, or will, comes to the same as the books."""
        sums = Counter()
        rows = {row.id: row for row in await self._waiting()}
        for row in (self.heard | rows).values():
            fact = json.loads(row.payload)
            ours = "order" if fact.get("order_id") else "other"
            sums[row.type, ours, fact.get("direction", "")] += fact.get("points", 0)
        redeemed = sums["points.redeemed", "order", ""] + sums["points.redeemed", "other", ""]
        assert redeemed - sums["points.reversed", "order", "given_back"] == spent(told)
        for ours, there in (
            ("order", sum(map(earned, model.orders.values()))),
            ("other", model.given(self.customers)),
        ):
            taken = sums["points.reversed", ours, "taken_back"]
            assert sums["points.earned", ours, ""] - taken == there, (ours, sums)


def spent(told):
    """For good: confirmed, and not given back."""
    return sum(one["confirmed"] - one["given_back"] for one in told)
