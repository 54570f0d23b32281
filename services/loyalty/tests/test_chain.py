"""The chain over the books: whoever changes what is sealed is found, offline."""

import json

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from services.loyalty.__main__ import app
from services.loyalty.books import chain
from services.loyalty.books.chain import Broken
from services.loyalty.jobs import sealing
from services.loyalty.tests.shop import Order, erasure
from shared.events.ledger import TOPIC
from shared.testing import Door


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(sealing, "BLOCK_MAX", 3)


async def seal(door: Door) -> list[str]:
    """Seal what waits; the new heads, as they are published."""
    await sealing.seal(door.engine, door.world)
    sealed = [event for event in await door.published() if event.topic == TOPIC]
    assert [event.key for event in sealed] == [str(event.data.block) for event in sealed]
    return [event.data.head for event in sealed]


async def export(door: Door, folder) -> list[str]:
    await sealing.export(door.world.settings, folder / "ledger.ndjson")
    return (folder / "ledger.ndjson").read_text().splitlines()


async def tamper(door: Door, infra, sql: str) -> None:
    """As the database's superuser, behind the service's back."""
    name = str(door.world.settings.database_url).rsplit("/", 1)[-1]
    conn = await asyncpg.connect(infra.postgres.url("postgres", database=name))
    await conn.execute(sql)
    await conn.close()


async def test_every_journal_is_sealed_once_and_the_export_verifies(door, tmp_path, ask):
    await door.give(*[event for n in range(4) for event in Order(f"o{n}").life()])
    first = await seal(door)
    await door.give(*Order("o9", "bob").life())
    second = await seal(door)
    assert await seal(door) == [], "nothing waits"

    found = chain.verify(await export(door, tmp_path))

    assert found.heads == tuple(first + second)
    assert (found.blocks, found.journals) == (4, 10)
    assert (await ask("/v1/ledger/reconciliation"))["journals"] == found.journals
    pages = await ask("/v1/ledger/seals", limit=3)
    rest = await ask("/v1/ledger/seals", cursor=pages["next"])
    told = pages["items"] + rest["items"]
    assert [seal["head"] for seal in told] == list(reversed(found.heads))


async def test_an_erasure_and_a_merge_leave_the_chain_unbroken(door, tmp_path):
    await door.give(*Order().life())
    await seal(door)

    await door.give(erasure("ada"))
    await seal(door)

    assert chain.verify(await export(door, tmp_path)).journals == 2


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE posting SET points = points + 1 WHERE debit = 1", "was changed"),
        ("UPDATE journal SET event_time = event_time + interval '1 s'", "was changed"),
        ("UPDATE posting SET account_id = gen_random_uuid()", "was changed"),
        ("DELETE FROM posting WHERE debit = 11", "left out"),
        ("DELETE FROM journal WHERE kind = 'activate'", "were sealed"),
        ("UPDATE seal SET head = previous WHERE block = 2", "block 2"),
        ("DELETE FROM seal WHERE block = 2", "block 2: missing"),
    ],
)
async def test_what_is_changed_behind_our_back_shows(door, infra, tmp_path, sql, says):
    await door.give(*[event for n in range(4) for event in Order(f"o{n}").life()])
    kept = await seal(door)
    async with door.engine.begin() as conn:
        for statement in ("UPDATE seal SET block = 9", "DELETE FROM seal"):
            with pytest.raises(Exception, match="permission denied"):
                async with conn.begin_nested():
                    await conn.execute(text(statement))
    await door.engine.dispose()

    await tamper(door, infra, sql)
    lines = await export(door, tmp_path)

    (tmp_path / "x").write_text("\n".join(lines))
    done = CliRunner().invoke(
        app, ["verify-ledger", str(tmp_path / "x"), "--head", f"{len(kept)}:{kept[-1]}"]
    )
    assert done.exit_code == 1
    assert says in done.output


async def test_who_cuts_off_the_end_is_found_by_a_head_that_was_kept(door, tmp_path):
    await door.give(*[event for n in range(4) for event in Order(f"o{n}").life()])
    kept = await seal(door)
    lines = await export(door, tmp_path)
    start = next(n for n, line in enumerate(lines) if json.loads(line).get("block") == len(kept))
    file = tmp_path / "cut"
    file.write_text("\n".join(lines[:start]))

    alone = CliRunner().invoke(app, ["verify-ledger", str(file)])
    held = CliRunner().invoke(
        app, ["verify-ledger", str(file), "--head", f"{len(kept)}:{kept[-1]}"]
    )

    assert (alone.exit_code, held.exit_code) == (0, 1)
    assert f"block {len(kept)}: missing" in held.output


@pytest.mark.parametrize(
    ("line", "says"),
    [("{", "line 1: is not JSON"), ("[]", "neither"), ('{"postings": []}', "before the first")],
)
def test_what_is_no_export_is_named(line, says):
    with pytest.raises(Broken, match=says):
        chain.verify([line])


def test_a_head_that_is_none_is_named(tmp_path):
    (tmp_path / "empty").write_text("")

    done = CliRunner().invoke(app, ["verify-ledger", str(tmp_path / "empty"), "--head", "9f86"])

    assert done.exit_code == 2
    assert "BLOCK:HEAD" in done.output


RECORD = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "document": st.text(max_size=8),
        "revision": st.integers(0, 2**53),
        "postings": st.lists(
            st.tuples(st.just(0), st.text(max_size=3), st.just(11), st.just(1), st.just(5)).map(
                list
            ),
            min_size=1,
            max_size=2,
        ),
    }
)


@given(
    records=st.lists(RECORD, min_size=1, max_size=6, unique_by=lambda r: r["id"]), data=st.data()
)
@settings(max_examples=60)
def test_any_change_of_any_line_breaks_the_chain(records, data):
    lines, last = [], None
    while records:
        size = data.draw(st.integers(1, len(records)))
        last = chain.seal(last, records[:size])
        told = {"block": last.number, "previous": last.previous.hex(), "head": last.head.hex()}
        lines += [told | {"journals": size}, *records[:size]]
        records = records[size:]
    assert chain.verify(map(json.dumps, lines)).blocks == last.number

    spoilt = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["drop", "double", "change"]))
    if how == "drop":
        lines.pop(spoilt)
    elif how == "double":
        lines.insert(spoilt, lines[spoilt])
    else:
        name = "document" if "document" in lines[spoilt] else "head"
        lines[spoilt] = lines[spoilt] | {name: lines[spoilt][name] + "0"}
    kept = f"{last.number}:{last.head.hex()}"
    with pytest.raises(Broken):
        sealing._hold_against(kept, chain.verify(map(json.dumps, lines)).heads)
