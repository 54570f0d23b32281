"""Hand-over to a real mail server: at most once, never what should not go, and never in silence."""

import asyncio
from datetime import timedelta

import pytest

from services.notify.sender import Sender
from services.notify.tests.shop import (
    NOON,
    cancelled,
    consent,
    contact,
    erased,
    merged,
    order,
    registered,
    restricted,
    shipped,
)
from shared.clock import Clock
from shared.events.notices import NoticeSent


async def test_one_mail_for_one_order_however_often_its_events_come(door, post):
    await door.give(registered(), order(), order("order.paid", revision=2))
    await post.turn()
    await door.give(order("order.paid", revision=3), order())
    await door.again(*door.log.messages)
    await post.turn()

    [mail] = post.arrived()
    [row] = await post.notices()
    assert (mail["to"], mail["from"]) == (["ada@a.example"], "hello@foxandfern.example")
    assert mail["subject"] == "Your order o1 at Fox & Fern"
    assert ["Message-ID", f"<{row.id}@foxandfern.example>"] in mail["headers"]
    assert (row.state, row.attempts, row.locale, row.address) == (
        "sent",
        1,
        "en-GB",
        "ada@a.example",
    )
    assert (row.template, len(row.template_version)) == ("order_confirmation", 12)
    assert row.decision["outcome"] == "send"
    assert row.decision["address_from"] == "customer"


async def test_what_was_sent_is_published_without_an_address(door, post):
    await door.give(registered(), order())
    await post.turn()

    [event] = await door.published()
    assert isinstance(event.data, NoticeSent)
    assert event.data.order_id == "o1"
    assert "@" not in event.data.model_dump_json()


async def test_a_parcel_in_the_buyers_language(door, post):
    own = contact(email="li@c.example", name="李雷", locale="zh-CN")
    await door.give(shipped("SF1", customer="guest:o1", store="cn", contact=own))
    await post.turn()

    [mail] = post.arrived()
    assert mail["to"] == ["li@c.example"]
    assert mail["subject"] == "您的订单 o1 已发货"
    assert "李雷，您好" in mail["text"]
    assert "SF1" in mail["html"]


async def test_who_is_told_about_an_order_is_said_by_the_order_first(door, post):
    await door.give(registered(locale="de"), order(contact=contact(email="office@b.example")))
    await post.turn()

    [mail] = post.arrived()
    assert mail["to"] == ["office@b.example"]
    assert mail["subject"] == "Ihre Bestellung o1 bei Fox & Fern"


async def test_the_address_of_another_id_of_the_same_person_is_used(door, post):
    await door.give(registered("ada"), order(customer="anon:1"), *merged("ada", "anon:1"))
    await post.turn()

    assert [mail["to"] for mail in post.arrived()] == [["ada@a.example"]]


async def test_an_address_that_comes_a_little_later_is_waited_for(door, post):
    await door.give(order())
    await post.turn()
    assert await post.states() == [("created", None)]

    await door.give(registered())
    await post.hasten("created")
    await post.turn()

    assert await post.states() == [("sent", None)]


async def test_without_any_address_it_is_suppressed_in_the_end(door, post):
    await door.give(order())
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE notice SET created_at = now() - interval '16 minutes'")

    await post.turn()

    assert await post.states() == [("suppressed", "no_address")]
    assert [e.data.reason for e in await door.published()] == ["no_address"]


MEANWHILE = {
    "withdrawn by mail": ("withdrawn", lambda: [consent("withdrawn")]),
    "withdrawn": ("withdrawn", lambda: [consent("withdrawn", purpose="any", channel="any")]),
    "restricted": ("restricted", lambda: [restricted()]),
    "cancelled": ("order_cancelled", lambda: [cancelled()]),
    "withdrawn as another": (
        "withdrawn",
        lambda: [consent("withdrawn", customer="anon:1"), *merged("ada", "anon:1")],
    ),
}


@pytest.mark.parametrize("what", MEANWHILE)
async def test_what_changed_after_it_was_claimed_is_obeyed(door, post, what):
    reason, between = MEANWHILE[what]
    await door.give(registered(), order())
    lane, [claimed] = await post.claim()

    await door.give(*between())
    await post.see_to(lane, claimed)

    assert await post.states() == [("suppressed", reason)]
    assert post.arrived() == []
    assert [e.data.reason for e in await door.published()] == [reason]
    [row] = await post.notices()
    assert row.decision["reason"] == reason


async def test_who_was_erased_after_the_claim_gets_nothing(door, post):
    await door.give(registered(), order())
    lane, [claimed] = await post.claim()

    await door.give(erased())
    await post.see_to(lane, claimed)
    await post.turn()

    assert await post.states() == [("suppressed", "erased")]
    assert post.arrived() == []


async def test_a_stale_notice_is_dropped_at_hand_over(door, post):
    await door.give(registered(), order())

    post.at(Clock(frozen_at=NOON + timedelta(hours=49)))
    await post.turn()

    assert await post.states() == [("suppressed", "stale")]
    assert post.arrived() == []


async def test_history_mails_nobody(door, post):
    await door.give(registered(), order(backfill=True), shipped("RM1", backfill=True))
    await post.turn()

    assert post.arrived() == []
    assert set(await post.states()) == {("suppressed", "backfill")}


async def test_two_senders_at_once_send_each_notice_once(door, post):
    await door.give(registered(), *(order(order_id=f"o{n}") for n in range(40)))
    others = [Sender(door.engine, door.world) for _ in range(2)]
    stop = asyncio.Event()
    running = [asyncio.create_task(one.run(stop)) for one in others]

    await post.until({"sent"})
    stop.set()
    await asyncio.gather(*running)

    subjects = [mail["subject"] for mail in post.arrived()]
    assert len(subjects) == len(set(subjects)) == 40
    assert len(await post.attempts()) == 40


async def test_a_stopped_lane_gives_back_what_it_has_claimed(door, post):
    await door.give(registered(), *(order(order_id=f"o{n}") for n in range(3)))
    lane = post.lane()
    lane.stop.set()

    await post.sender.turn(lane)

    assert sorted(state for state, _ in await post.states()) == ["created", "created", "sent"]


async def test_a_newline_in_a_name_adds_no_recipient(door, post):
    sneaky = "Ada\r\nBcc: all@evil.example\r\n\r\nClick here"
    await door.give(registered(name=sneaky), order(order_id="o1\r\nBcc: x@evil.example"))
    await post.turn()

    [mail] = post.arrived()
    assert mail["to"] == ["ada@a.example"]
    assert "bcc" not in {name.lower() for name, _ in mail["headers"]}


async def test_an_address_that_is_none_fails_and_is_not_tried_again(door, post):
    await door.give(registered(email="a,b@a.example"), order())
    await post.turn()

    assert await post.states() == [("failed", "bad_address")]
    [event] = await door.published()
    assert event.data.permanent
    assert post.arrived() == []


async def test_a_kind_of_a_newer_release_waits_for_it(door, post):
    await door.give(registered(), order())
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE notice SET kind = 'parcel_by_drone'")

    assert await post.turn() == 0
