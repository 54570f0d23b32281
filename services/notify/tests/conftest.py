"""notify over a database of its own, a shop that publishes, and a real mail server."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.notify.__main__ import SERVICE
from services.notify.settings import Settings
from services.notify.tests.post import Post
from shared.stores import Store, Stores
from shared.testing import Door, migrator, open_door, settings_for

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

STORES = Stores(
    "GBP",
    {
        "uk": Store(
            id="uk",
            zone="Europe/London",
            currency="GBP",
            locale="en-GB",
            sender="Fox & Fern <hello@foxandfern.example>",
        ),
        "cn": Store(
            id="cn",
            zone="Asia/Shanghai",
            currency="CNY",
            locale="zh-CN",
            sender="狐与蕨 <hello@huyujue.example>",
        ),
        "tmall": Store(id="tmall", channel="tmall", locale="zh-CN", direct_contact=False),
    },
)


@pytest.fixture(scope="session")
def template(make_template, tmp_path_factory) -> Any:
    return make_template("notify", migrator(SERVICE, tmp_path_factory.mktemp("notify")))


@pytest.fixture
def mails(mail_sink) -> Iterator[httpx.Client]:
    """The sink's view; empty, and taking everything."""
    with httpx.Client(base_url=mail_sink.url, trust_env=False) as client:
        client.put("/mode", json={"mode": "ok"}).raise_for_status()
        client.delete("/messages").raise_for_status()
        yield client
        client.put("/mode", json={"mode": "ok"}).raise_for_status()


@pytest.fixture
async def settings(template, make_database, tmp_path, mail_sink) -> Settings:
    database = await make_database("notify", template=template.name)
    made: Settings = settings_for(
        SERVICE,
        database,
        tmp_path,
        smtp_port=mail_sink.smtp_port,
        smtp_timeout_s=5,
        sender_lease_s=5,
    )
    return made


@pytest.fixture
async def door(settings) -> AsyncIterator[Door]:
    """The service at noon of 1 November 2026."""
    async with open_door(SERVICE, settings, clock=NOW.isoformat(), stores=STORES) as door:
        yield door


@pytest.fixture
async def post(door, mails) -> AsyncIterator[Post]:
    """The sender of `door`, turned by hand, and what arrived."""
    async with Post.over(door, mails) as post:
        yield post
