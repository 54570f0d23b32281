"""A shop's counter: lays down rewards, gives them out, takes coupons in, over HTTP."""

from datetime import timedelta

from services.loyalty.tests.shop import NOON, Order, line
from shared.clock import Clock
from shared.keys import dev_token

LATER = NOON + timedelta(days=1)
FIVE_OFF = {"kind": "amount", "name": "Five off", "value_minor": 500}


class Counter:
    """Every call has a key of its own unless one is given; `status` is what it must answer."""

    def __init__(self, http):
        self.http, self.calls = http, 0

    async def call(self, method, path, body=None, *, status=200, key=None, **headers):
        self.calls += 1
        headers = {"Idempotency-Key": key or f"call-{self.calls}"} | headers
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def lay_down(self, reward_id, **fields):
        body = {"starts_at": "2000-01-01T00:00:00Z"} | FIVE_OFF | fields
        return await self.call("PUT", f"/v1/rewards/{reward_id}", body)

    async def offer(self, offer_id, steps, **fields):
        body = {"starts_at": "2000-01-01T00:00:00Z", "gives": {"kind": "steps", "steps": steps}}
        return await self.call("PUT", f"/v1/offers/{offer_id}", body | fields)

    async def take(self, reward_id, customer="ada", status=201, **more):
        path = f"/v1/accounts/{customer}/rewards/{reward_id}"
        return await self.call("POST", path, status=status, **more)

    async def offered(self, customer="ada"):
        found = await self.call("GET", f"/v1/accounts/{customer}/rewards")
        return {each["reward_id"]: each for each in found["items"]}

    async def coupons(self, customer="ada"):
        return (await self.call("GET", f"/v1/accounts/{customer}/coupons"))["items"]

    async def act(self, action, coupon, order_id="o2", status=200, **body):
        code = coupon if isinstance(coupon, str) else coupon["code"]
        if action != "void":
            body = {"order_id": order_id} | body
        return await self.call("POST", f"/v1/coupons/{code}/{action}", body, status=status)

    async def held(self, customer="ada"):
        return (await self.call("GET", f"/v1/accounts/{customer}"))["active"]


def counter_at(door, now=LATER):
    """`async with counter_at(door) as http: Counter(http)`."""
    return door.client(clock=Clock(frozen_at=now))


async def warm(door):
    """Open all connections of the pool: a race of one that is open against three that are still
    being opened is none."""
    opened = [await door.engine.connect() for _ in range(door.world.settings.database_pool_max)]
    for conn in opened:
        await conn.close()


async def earn(door, customer="ada", points=100, order_id="o1"):
    """The customer has points to spend."""
    order = Order(order_id, customer, lines=(line("1", points * 100),))
    await door.give(*order.life())
    await door.published()


def as_storefront(http, folder, sub):
    """From here on the calls carry this customer's own token."""
    http.headers["Authorization"] = f"Bearer {dev_token(sub, folder)}"


def problem(answer):
    return answer["type"].removeprefix("urn:regulars:problem:")
