"""Whatever happens to orders and points, every closed month ties to the ledger."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.loyalty.books.accounting import name_of, next_month
from services.loyalty.jobs import timers
from services.loyalty.reporting.statement import SIGNS
from services.loyalty.tests.closer import (
    balanced,
    close,
    costs_tie,
    lay_down,
    send,
    ties,
    totals,
)
from services.loyalty.tests.conftest import open_one
from services.loyalty.tests.shop import NOON, histories
from shared.clock import Clock

PLACES = 21
PROGRAMME = {
    "starts_at": "2000-01-01T00:00:00Z",
    "activation": {"on": "paid"},
    "expiry": {"after_days": 30},
}
TERMS = {
    "programmes/default": PROGRAMME,
    "rules/base-3": {"points": 3, "step_minor": 700},
    "rules/half-more": {"kind": "multiplier", "percent": 150},
    "rules/fixed": {"kind": "bonus", "points": 17, "when": {"spend_min_minor": 5_000}},
    "tier-plans/default": {
        "tiers": [{"code": "basic", "threshold": 0}, {"code": "gold", "threshold": 15_000}]
    },
    "earning-limits/default": {"order_points_max": 130},
}
IN_LOTS = """
    SELECT store, to_char(earned_at, 'YYYY-MM'), sum(remaining + reserved)::bigint
    FROM lot GROUP BY 1, 2 HAVING sum(remaining + reserved) > 0
"""
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(("close", "spend", "set_aside", "expire", "release", "decline")),
        st.integers(0, PLACES - 1),
        st.integers(0, 2),
    ),
    min_size=3,
    max_size=10,
)


def of_many(lives):
    """The events of several customers' orders, over months and two stores."""
    return [
        replace(
            event,
            id=f"{number}-{event.id}",
            key=f"c{number}",
            data=event.data.model_copy(
                update={
                    "order_id": f"o{number}",
                    "customer_id": f"c{number}",
                    "store": ("web", "us")[number % 2],
                }
            ),
            time=NOON + timedelta(days=11 * event.data.revision),
        )
        for number, life in enumerate(lives)
        for event in life
    ]


class Months:
    """The finance department: what it has closed so far."""

    def __init__(self, door):
        self.door = door
        self.month = date(2026, 11, 1)
        self.last = None

    async def close(self):
        closed = (await close(self.door, name_of(self.month)))["statement"]
        await ties(self.door, name_of(self.month))
        costs = await costs_tie(self.door, self.month, next_month(self.month))
        for what in ("earned", "reversed"):
            assert costs[what] == closed["total"]["points"][what]
        for what in ("points", "minor"):
            adds_up(closed["total"][what])
            for line in closed["lines"]:
                adds_up(line[what])
            opened = {key(line): line[what]["opening"] for line in closed["lines"]}
            before = totals(self.last, KEY, what) if self.last else {}
            assert {name: amount for name, amount in opened.items() if amount} == before
        assert closed["total"]["points"]["moved"] == 0
        self.last, self.month = closed, next_month(self.month)


KEY = ("store", "group", "cohort")


def key(line):
    return tuple(line[name] for name in KEY)


def adds_up(amounts):
    moved = sum(sign * amounts[column] for column, sign in SIGNS.items())
    assert amounts["opening"] + amounts["revalued"] + moved == amounts["closing"]


async def spend(door, now, customer, *, confirm):
    """Half of what there is, at a checkout that may not come back."""
    async with door.client(clock=Clock(frozen_at=now)) as http:
        found = await http.get(f"/v1/accounts/{customer}")
        points = found.json().get("active", 0) // 2
        if points < 1:
            return
        body = {"points": points, "store": "web"}
        made = await send(http, f"/v1/accounts/{customer}/reservations", body)
        assert made.status_code == 201, made.text
        if confirm:
            path = f"/v1/reservations/{made.json()['id']}/confirm"
            assert (await send(http, path, {})).status_code == 200


async def lay_down_all(door):
    """Several rules for each line, two tiers, and a limit above which orders are held."""
    async with door.client() as http:
        for path, more in TERMS.items():
            body = {"starts_at": "2000-01-01T00:00:00Z", **more}
            done = await http.put(f"/v1/{path}", json=body, headers={"Idempotency-Key": path})
            assert done.status_code == 200, done.text


async def review(door, now, what):
    """Somebody looks at what has waited longest, if anything waits."""
    async with door.client(clock=Clock(frozen_at=now)) as http:
        held = (await http.get("/v1/held")).json()["items"]
        if held:
            done = await send(http, f"/v1/held/{held[0]['order_id']}/{what}", {})
            assert done.status_code == 200, done.text


async def by_the_clock(door, now):
    world = replace(door.world, clock=Clock(frozen_at=now))
    for step in (timers.time_out_due, timers.expire_due):
        async with door.engine.begin() as conn:
            await step(conn, world)


@given(lives=st.lists(histories(), min_size=1, max_size=3), deeds=DEEDS)
@settings(
    derandomize=True,
    deadline=None,
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_every_closed_month_ties_to_the_ledger_to_the_last_point(
    database, tmp_path, lives, deeds
):
    """Orders live as they may; points are spent, set aside, expire; months are closed meanwhile."""
    events = of_many(lives)
    async with open_one(await asyncio.to_thread(database, 0), tmp_path) as door:
        await lay_down(door, value={"minor": 2, "per_points": 7})
        await lay_down_all(door)
        months = Months(door)
        for place in range(PLACES):
            await door.give(*events[place::PLACES])
            now = NOON + timedelta(days=5 * place)
            for name, at, number in deeds:
                if at == place and name == "close":
                    await months.close()
                elif at == place and name == "expire":
                    await by_the_clock(door, now)
                elif at == place and name in {"release", "decline"}:
                    await review(door, now, name)
                elif at == place:
                    await spend(door, now, f"c{number}", confirm=name == "spend")
        while months.month < date(2027, 4, 1):
            await months.close()
        held = totals(months.last, KEY)
        assert {(s, c): points for (s, group, c), points in held.items() if group == "lots"} == {
            (store, cohort): points for store, cohort, points in await door.query(IN_LOTS)
        }
        [[sums]] = await door.query("SELECT sum(pending + active + reserved - owed) FROM balance")
        assert months.last["total"]["points"]["closing"] == (sums or 0)
        await balanced(door)
