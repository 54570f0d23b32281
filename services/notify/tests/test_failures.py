"""What a mail server, a network, a database or a kill may do to a hand-over."""

import asyncio
import os
import sys

import pytest

from services.notify import sender as sender_module
from services.notify.sender import Sender
from services.notify.tests.post import Post
from services.notify.tests.shop import NOON, order, registered
from shared import db
from shared.events.notices import NoticeFailed
from tests.proxy import Proxy


def environment(door):
    """For a process of its own, over the same database and mail server."""
    settings = door.world.settings
    return {
        **os.environ,
        "REGULARS_SERVICE": "notify",
        "REGULARS_DATABASE_URL": str(settings.database_url),
        "REGULARS_SMTP_PORT": str(settings.smtp_port),
        "REGULARS_CLOCK": NOON.isoformat(),
    }


async def test_a_server_that_says_later_is_tried_again_later(door, post):
    await door.give(registered(), order())
    post.mode("later", times=2)

    await post.turn()
    assert await post.turn() == 0, "not before its time"
    await post.hasten("created")
    await post.turn()
    await post.hasten("created")
    await post.turn()

    assert len(post.arrived()) == 1
    assert await post.attempts() == [
        (1, "postponed", "451 4.3.0"),
        (2, "postponed", "451 4.3.0"),
        (3, "accepted", "250 2.0.0"),
    ]


async def test_attempts_come_to_an_end(door, post):
    await door.give(registered(), order())
    post.mode("later")

    for _ in range(10):
        await post.turn()
        await post.hasten("created")

    assert await post.states() == [("failed", "attempts_exhausted")]
    assert len(await post.attempts()) == 8
    [event] = await door.published()
    assert (event.data.reason, event.data.permanent) == ("attempts_exhausted", False)


async def test_a_refused_mail_fails_for_good(door, post):
    await door.give(registered(), order())
    post.mode("refuse", times=1)

    await post.turn()
    await post.hasten("created")
    await post.turn()

    assert await post.states() == [("failed", "refused")]
    assert await post.attempts() == [(1, "refused", "554 5.7.1")]
    [event] = await door.published()
    assert isinstance(event.data, NoticeFailed)
    assert event.data.permanent


async def test_a_connection_lost_after_the_text_is_unknown_and_never_tried_again(door, post):
    await door.give(registered(), order())
    post.mode("drop", times=1)

    await post.turn()
    await post.hasten("created", "unknown", "handed_over", "leased")
    await post.turn()
    await post.give_up_lost()

    assert await post.states() == [("unknown", None)]
    assert len(post.arrived()) == 1, "this time it did arrive"
    assert await door.published() == []


async def test_an_answer_that_does_not_come_in_time_is_unknown(door, post):
    impatient = door.world.settings.model_copy(update={"smtp_timeout_s": 0.5})
    door.world = type(door.world)(
        impatient, door.world.stores, door.world.clock, door.world.tombstones
    )
    await door.give(registered(), order())
    async with Post.over(door, post.mails) as hasty:
        hasty.mode("slow", delay_s=3, times=1)
        await hasty.turn()

    assert await post.states() == [("unknown", None)]


async def test_while_the_server_is_away_nothing_is_lost_and_the_rest_is_given_back(
    door, post, mail_sink
):
    await door.give(registered(), *(order(order_id=f"o{n}") for n in range(3)))
    await asyncio.to_thread(mail_sink.kill)
    try:
        seen, reached = await post.sender.turn(post.lane())
    finally:
        await asyncio.to_thread(mail_sink.start)

    assert (seen, reached) == (1, False)
    assert [outcome for _, outcome, _ in await post.attempts()] == ["postponed"]
    assert await post.states() == [("created", None)] * 3
    assert await post.turn() == 2, "the others are due at once"
    await post.hasten("created")
    await post.turn()
    assert len(post.arrived()) == 3


async def test_a_connection_serves_many_mails_and_is_replaced_when_it_dies(door, post, mail_sink):
    await door.give(registered(), *(order(order_id=f"o{n}") for n in range(3)))
    await post.turn()
    smtp = post.mailer._smtp
    await door.give(order(order_id="o4"))
    await post.turn()
    assert post.mailer._smtp is smtp

    await asyncio.to_thread(mail_sink.kill)
    await asyncio.to_thread(mail_sink.start)
    await door.give(order(order_id="o5"))
    await post.turn()

    assert [state for state, _ in await post.states()] == ["sent"] * 5
    assert [number for number, _, _ in await post.attempts()] == [1] * 5
    assert len(post.arrived()) == 5


async def test_one_that_died_before_the_hand_over_is_taken_by_another(door, post):
    await door.give(registered(), order())
    lane, [claimed] = await post.claim()
    assert await post.turn() == 0, "the lease holds"

    await post.hasten("leased")
    await post.turn()
    await post.see_to(lane, claimed)  # it was only asleep

    assert await post.states() == [("sent", None)]
    assert len(post.arrived()) == 1


class Forgetful(Sender):
    """One whose second transaction never succeeds."""

    async def record(self, *_: object) -> None:
        raise ZeroDivisionError


async def test_one_that_fails_between_hand_over_and_record_leaves_an_unknown_outcome(door, post):
    await door.give(registered(), order())

    with pytest.raises(ZeroDivisionError):
        await Forgetful(door.engine, door.world).turn(post.lane())
    assert await post.states() == [("handed_over", None)]
    await post.give_up_lost()
    assert await post.states() == [("handed_over", None)], "its time is not up"

    await post.hasten("handed_over")
    await post.turn()
    await post.give_up_lost()
    await post.turn()

    assert await post.states() == [("unknown", None)]
    assert await post.attempts() == [(1, "unknown", "lost")]
    assert len(post.arrived()) == 1


async def test_one_killed_in_the_middle_of_a_mail_does_not_get_it_sent_twice(door, post):
    await door.give(registered(), order())
    post.mode("slow", delay_s=2, times=1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.notify.tests.lone_sender", env=environment(door)
    )
    await post.until({"handed_over"})
    process.kill()
    await process.wait()
    await asyncio.sleep(2.5)  # until the server has made up its mind
    arrived = len(post.arrived())

    await post.turn()
    await post.hasten("handed_over")
    await post.give_up_lost()
    await post.turn()

    [row] = await post.notices()
    assert (row.state, row.message_id) == ("unknown", f"<{row.id}@foxandfern.example>")
    assert len(post.arrived()) == arrived <= 1


async def test_an_outcome_that_is_known_after_all_is_recorded(door, post):
    await door.give(registered(), order())
    record = post.sender.record

    async def late(*given: object) -> None:
        await post.hasten("handed_over")
        await post.give_up_lost()
        assert await post.states() == [("unknown", None)]
        await record(*given)

    post.sender.record = late
    await post.turn()

    assert await post.states() == [("sent", None)]
    assert await post.attempts() == [(1, "accepted", "250 2.0.0")]
    assert [e.type for e in await door.published()] == ["notice.sent"]


async def test_an_outcome_is_recorded_once_the_database_is_back(door, post, monkeypatch):
    await door.give(registered(), order())
    record, failures = post.sender.record, [TimeoutError(), ConnectionResetError()]

    async def record_at_last(*given: object) -> None:
        if failures:
            raise failures.pop()
        await record(*given)

    monkeypatch.setattr(sender_module, "RECORD_RETRY_S", 0.01)
    post.sender.record = record_at_last
    await post.turn()

    assert await post.states() == [("sent", None)]


async def test_a_commit_whose_reply_is_lost_leaves_no_doubt(door, post, infra):
    await door.give(registered(), order())
    async with Proxy(infra.postgres.port) as proxy:
        url = infra.postgres.url("notify", database=database(door), port=proxy.port)
        remote = door.world.settings.model_copy(update={"database_url": url})
        engine = db.connect(remote)
        sender, lane = Sender(engine, door.world), post.lane()
        [claimed] = await sender.claim(lane)
        proxy.drop_reply_to(b"COMMIT")

        with pytest.raises(Exception, match="connection") as lost:
            await sender.decide(lane, claimed)
        assert db.is_transient(lost.value)
        assert await post.states() == [("handed_over", None)]
        await sender.turn(lane)
        await engine.dispose()

    assert await post.states() == [("sent", None)]
    assert await post.attempts() == [(1, "accepted", "250 2.0.0")]
    assert len(post.arrived()) == 1


async def test_one_that_cannot_be_decided_on_does_not_stop_the_others(door, post):
    await door.give(registered(), order(), order(order_id="o2"))
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql(
            """UPDATE shop_order SET contact = '"?"' WHERE order_id = 'o1'"""
        )

    assert await post.turn() == 2

    assert sorted(state for state, _ in await post.states()) == ["leased", "sent"]


async def test_one_that_cannot_be_rendered_waits_for_a_better_release(door, post):
    await door.give(registered(), order())
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE notice SET content = content - 'currency'")
    await post.turn()
    assert await post.states() == [("created", None)]

    async with door.engine.begin() as conn:
        await conn.exec_driver_sql(
            """UPDATE notice SET content = content || '{"currency": "EUR"}'"""
        )
    await post.hasten("created")
    await post.turn()

    assert await post.states() == [("sent", None)]
    assert [code for _, _, code in await post.attempts()] == ["unrenderable", "250 2.0.0"]


def database(door):
    return door.world.settings.database_url.path.strip("/")
