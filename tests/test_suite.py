"""All four services as processes, met as a platform meets them: over HTTP only.

One life: a visitor looks around, turns out to be a customer, buys, gets mail and points; is
parted from the visitor's id again; and is forgotten by all four, also when everything is
sent once more. Then requests of every kind, by each service's OpenAPI document.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.events import codec
from shared.events.browse import ProductViewed
from shared.events.catalog import ProductPublished, Variant
from shared.events.customers import CustomerIdentified, CustomerRegistered
from shared.events.envelope import Event, Fact
from shared.events.offers import OfferChanged
from shared.events.orders import Line, OrderSnapshot
from stack.caught_up import watch
from stack.door import Door, read_env
from stack.layout import State
from stack.ports import DEFAULTS, SERVICES, scratch
from stack.supervisor import Supervisor

ADA, VISITOR, ORDER = "c-ada", "anon:7f3a", "o-1001"
SETTLE_TIMEOUT_S = 60
HTTP_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


@dataclass
class Shop:
    """A platform with the admin key."""

    home: Path
    door: Door
    began: datetime

    def event(self, type_: str, data: Fact, id_: str, seconds: float) -> Event:
        time_ = self.began + timedelta(seconds=seconds)
        return codec.make(type_, data, id=id_, source="shop", time=time_)

    def post(self, service: str, path: str, body: Any, key: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.door.env['ADMIN_KEY']}"}
        headers |= {"Idempotency-Key": key} if key else {}
        url = f"{self.door.env[f'{service.upper()}_URL']}{path}"
        return httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)

    def publish(self, events: list[Event]) -> None:
        answer = self.post("profile", "/v1/events", [codec.structured(event) for event in events])
        assert answer.status_code == 202, answer.text
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is under way between the services."""

        async def settled() -> None:
            async with watch(self.door.env) as observer:
                await observer.wait(lambda _: None)

        asyncio.run(settled())

    def until(self, look: Callable[[], Any]) -> Any:
        """What `look` finds, once it finds anything."""
        until = time.monotonic() + SETTLE_TIMEOUT_S
        while not (found := look()):
            assert time.monotonic() < until, "it has not come"
            time.sleep(0.2)
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("suite")
    State(ports=scratch(*DEFAULTS)).write(home)
    supervisor = Supervisor(home)
    try:
        supervisor.up(lambda _: None)
        with Door(read_env(home)) as door:
            yield Shop(home, door, datetime.now(UTC) - timedelta(minutes=10))
    finally:
        supervisor.erase()


def order(shop: Shop, type_: str, revision: int, seconds: float, **delivered: int) -> Event:
    lines = tuple(
        Line(
            line_id=product,
            product_id=product,
            sku=f"{product}-1",
            quantity=1,
            unit_price_minor=2_500,
            total_minor=2_500,
            **delivered,
        )
        for product in ("mug", "tea")
    )
    snapshot = OrderSnapshot(
        customer_id=ADA,
        order_id=ORDER,
        revision=revision,
        store="uk-web",
        currency="GBP",
        total_minor=5_000,
        placed_at=shop.began,
        lines=lines,
    )
    return shop.event(type_, snapshot, f"{ORDER}-{revision}", seconds)


def life(shop: Shop) -> list[Event]:
    published: list[Event] = []
    for product in ("mug", "tea", "pot"):
        variants = (Variant(sku=f"{product}-1"),)
        snapshot = ProductPublished(product_id=product, name=product.title(), variants=variants)
        published.append(shop.event("product.published", snapshot, f"p-{product}", 0))
        offer = OfferChanged(
            store="uk-web", sku=f"{product}-1", product_id=product, currency="GBP",
            price_minor=2_500, stock=9,
        )  # fmt: skip
        published.append(shop.event("offer.changed", offer, f"f-{product}", 0))
    viewed = ProductViewed(customer_id=VISITOR, store="uk-web", product_id="pot")
    account = CustomerRegistered(customer_id=ADA, email="ada@a.example", name="Ada")
    known = CustomerIdentified(customer_id=ADA, anonymous_id=VISITOR)
    return [
        *published,
        shop.event("product.viewed", viewed, "v-1", 1),
        shop.event("customer.registered", account, "r-1", 2),
        shop.event("customer.identified", known, "i-1", 3),
        order(shop, "order.placed", 1, 4),
        order(shop, "order.paid", 2, 5),
        order(shop, "order.shipped", 3, 6, shipped=1),
        order(shop, "order.delivered", 4, 7, shipped=1, delivered=1),
    ]


def told(shop: Shop, id_: str) -> dict[str, Any]:
    """What each service answers for an id; None: it knows nobody of that id."""
    return {
        "profile": shop.door.get("profile", "/v1/profiles/{}", id_),
        "loyalty": shop.door.get("loyalty", "/v1/accounts/{}", id_),
        "recommend": shop.door.get("recommend", "/v1/recommendations/{}", id_)["items"],
        "notify": shop.door.get("notify", "/v1/notices", customer_id=id_)["items"],
    }


def test_one_life_in_four_services(shop: Shop) -> None:
    events = life(shop)
    shop.publish(events)

    by_customer, by_visitor = told(shop, ADA), told(shop, VISITOR)
    mails = shop.until(lambda: [m for m in shop.door.sent("mail") if ORDER in str(m)][1:])
    again = shop.post("profile", "/v1/events", [codec.structured(event) for event in events])
    shop.settle()

    assert again.status_code == 202, "the platform sends everything twice"
    assert by_customer["loyalty"]["active"] == by_visitor["loyalty"]["active"] > 0
    timeline = shop.door.get("profile", "/v1/profiles/{}/timeline", VISITOR)["items"]
    assert {"product.viewed", "order.delivered"} <= {entry["type"] for entry in timeline}
    bought = {item["product_id"] for item in by_visitor["recommend"]}
    assert "mug" not in bought
    assert "tea" not in bought
    assert {n["order_id"] for n in by_customer["notify"]} == {ORDER}
    assert by_customer["notify"] == by_visitor["notify"]
    assert len(mails) == 1, "two mails: the confirmation, and the parcel"
    assert told(shop, ADA)["loyalty"] == by_customer["loyalty"]
    assert shop.door.get("loyalty", "/v1/ledger/reconciliation")["balanced"]


def test_parted_again_each_has_what_came_under_its_own_id(shop: Shop) -> None:
    path = f"/v1/profiles/{ADA}/unmerge"
    parted = shop.post("profile", path, {"member_id": VISITOR}, key="part-1")
    assert parted.status_code == 200, parted.text
    shop.settle()

    assert told(shop, VISITOR)["loyalty"] is None
    assert told(shop, ADA)["loyalty"]["active"] > 0
    seen = shop.door.get("profile", "/v1/profiles/{}/timeline", ADA)["items"]
    assert "product.viewed" not in {entry["type"] for entry in seen}
    assert told(shop, VISITOR)["notify"] == []

    path = f"/v1/profiles/{ADA}/merge"
    joined = shop.post("profile", path, {"other_id": VISITOR}, key="join-1")
    assert joined.status_code == 200, joined.text
    shop.settle()
    assert told(shop, VISITOR)["loyalty"]["active"] > 0


def test_forgotten_by_all_four_and_not_brought_back(shop: Shop) -> None:
    asked = shop.post("profile", f"/v1/profiles/{VISITOR}/erasure", {}, key="forget-1")
    assert asked.status_code == 202, asked.text
    path = asked.headers["location"]
    done = shop.until(lambda: (s := shop.door.get("profile", path)) and not s["waiting"] and s)
    shop.publish(life(shop))

    assert {receipt["service"] for receipt in done["receipts"]} == set(SERVICES)
    for id_ in (ADA, VISITOR):
        found = told(shop, id_)
        assert (found["profile"], found["loyalty"]) == (None, None)
        assert found["notify"] == []
        reasons = {item["reason"] for item in found["recommend"]}
        assert reasons <= {"popular"}
    assert shop.door.get("loyalty", "/v1/ledger/reconciliation")["balanced"]
    rows = dump(shop.door.env)
    assert ADA not in rows
    assert "ada@a.example" not in rows


@pytest.mark.parametrize("examples", [3, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("service", SERVICES)
def test_nothing_that_is_sent_breaks_a_service(shop: Shop, service: str, examples: int) -> None:
    """Schemathesis, by the service's OpenAPI document: valid, nearly valid and wrong requests."""
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run"),
        f"{shop.door.env[f'{service.upper()}_URL']}/openapi.json",
        f"--header=Authorization: Bearer {shop.door.env['ADMIN_KEY']}",
        f"--checks={','.join(HTTP_CHECKS)}",
        f"--max-examples={examples}",
        f"--phases={'fuzzing' if examples < 10 else 'coverage,fuzzing'}",
        *("--generation-deterministic", "--no-color", "--warnings=off"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=shop.home)

    assert done.returncode == 0, done.stdout + done.stderr


def dump(env: Mapping[str, str]) -> str:
    """Every row of every table of the four databases, as text."""

    async def read() -> str:
        found = []
        async with watch(env) as observer:
            for conn in observer.databases.values():
                names = await conn.fetch(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                )
                for (name,) in names:
                    rows = await conn.fetch(f'SELECT t::text FROM "{name}" t')
                    found += [row[0] for row in rows]
        return "\n".join(found)

    return asyncio.run(read())
