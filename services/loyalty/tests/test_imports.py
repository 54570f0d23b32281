"""Files from elsewhere: brought once, whole or not at all, tied to the ledger, taken back."""

import asyncio
import csv
import gzip
import json
import os
import sys

import pytest

from services.loyalty.arrivals.import_columns import PRESETS, Mapping
from services.loyalty.store import imports as import_store
from services.loyalty.tests.office import Office
from services.loyalty.tests.shop import Order, erasure
from services.loyalty.tests.test_worker import balanced
from services.loyalty.work.import_desk import Desk
from services.loyalty.work.imports import Importer
from shared.errors import Fatal

ADA, BOB = ("ada", 100, "2026-01-05", "2027-06-30"), ("bob", 50, "2026-02-05", "")


@pytest.fixture
def office(door, tmp_path, capsys):
    return Office(door, tmp_path, capsys)


async def seen(ask, customer="ada"):
    account = await ask(f"/v1/accounts/{customer}")
    return account["pending"], account["active"], account["owed"]


async def test_opening_balances_become_dated_lots_and_the_books_balance(office, ask):
    said = await office.bring(office.file(ADA, ("ada", 20, "2026-03-01", "2026-12-31"), BOB))

    assert "3 rows, 170 points, 2 customers" in said
    assert "is open: the ledger has 170 points in 3 rows of 2 customers" in said
    assert await seen(ask) == (0, 120, 0)
    assert (await ask("/v1/accounts/ada"))["next_expiry_at"].startswith("2027-01-01"), (
        "good on 31st"
    )
    books = await balanced(ask)
    assert books["accounts"]["opening"] == -170
    journal = (await ask("/v1/accounts/bob/history"))["items"][0]
    assert (journal["kind"], journal["source"], journal["document"], journal["revision"]) == (
        "opening",
        "import",
        str(office.batch),
        4,
    )


async def test_a_dry_run_says_all_and_writes_nothing(office, door):
    said = await office.bring(office.file(ADA, BOB), dry=True)

    assert "2 rows, 150 points" in said
    assert "nothing was written" in said
    for table in ("member", "journal", "lot", "import_batch", "audit"):
        assert await door.query(f"SELECT 1 FROM {table}") == []


async def test_nothing_is_brought_while_a_row_is_wrong_unless_it_is_left_out(office, door, ask):
    await door.give(erasure("eve"))
    wrong = ("ada", "x", "2026-01-01"), ("eve", 5, "2026-01-01"), ADA
    path, report = office.file(ADA, *wrong), office.folder / "report.csv"

    with pytest.raises(Fatal, match="3 rows are wrong, nothing was brought"):
        await office.bring(path, report=report)
    assert await door.query("SELECT 1 FROM journal") == []
    said = office.said()
    assert "row 3, points" in said
    told = list(csv.DictReader(report.read_text().splitlines()))
    assert [(each["row"], each["field"]) for each in told] == [
        ("3", "points"),
        ("4", "customer_id"),
        ("5", "row"),
    ]
    assert "erased" in told[1]["what"]

    await office.bring(path, skip_wrong=True)

    assert await seen(ask) == (0, 100, 0)
    await balanced(ask)


async def test_the_same_file_is_brought_once(office, ask):
    path = office.file(ADA)
    await office.bring(path)

    said = await office.bring(path)
    assert f"is batch {office.batch} already, open: nothing to do" in said
    copy = office.file(ADA, name="renamed.csv")
    assert f"batch {office.batch} already" in await office.bring(copy)
    with pytest.raises(Fatal, match="read in another way"):
        await office.bring(path, mapping=Mapping(zone="Asia/Shanghai"))

    assert await seen(ask) == (0, 100, 0)


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_run_that_is_killed_goes_on_where_it_was(office, door, ask, monkeypatch, after):
    monkeypatch.setattr("services.loyalty.work.imports.CHUNK_ROWS", 3)
    path = office.file(*((f"c{n}", n + 1, "2026-01-05") for n in range(8)))
    bring, chunks = Importer._bring, []

    async def dies(self, *given):
        if len(chunks) == after:
            raise Killed
        chunks.append(given)
        await bring(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Importer, "_bring", dies)
        with pytest.raises(Killed):
            await office.bring(path)
    done = [row.row_done for row in await door.query("SELECT row_done FROM import_batch")]
    assert done == [0 if not after else 3 * after + 1]

    said = await office.bring(path)

    assert "the ledger has 36 points in 8 rows" in said
    for n in range(8):
        assert (await seen(ask, f"c{n}"))[1] == n + 1
    await balanced(ask)


async def test_two_runs_at_once_bring_each_row_once(office, ask, monkeypatch):
    monkeypatch.setattr("services.loyalty.work.imports.CHUNK_ROWS", 2)
    path = office.file(*((f"c{n}", 10, "2026-01-05") for n in range(10)))
    await office.bring(path, dry=True)

    done = await asyncio.gather(*(office.bring(path) for _ in range(3)), return_exceptions=True)
    said = await office.bring(path)

    assert all(isinstance(each, str | Fatal) for each in done), done
    assert "nothing to do" in said
    assert (await balanced(ask))["accounts"]["opening"] == -100


async def test_two_runs_that_go_on_at_once_bring_each_row_once(office, ask, monkeypatch):
    monkeypatch.setattr("services.loyalty.work.imports.CHUNK_ROWS", 2)
    path = office.file(*((f"c{n}", 10, "2026-01-05") for n in range(10)))
    bring = Importer._bring

    async def dies(self, source, kept, rows, done):
        if done:
            raise Killed
        await bring(self, source, kept, rows, done)

    with monkeypatch.context() as patched:
        patched.setattr(Importer, "_bring", dies)
        with pytest.raises(Killed):
            await office.bring(path)

    done = await asyncio.gather(*(office.bring(path) for _ in range(3)), return_exceptions=True)
    await office.bring(path)

    assert all(isinstance(each, str | Fatal) for each in done), done
    assert (await balanced(ask))["accounts"]["opening"] == -100


async def test_a_file_that_changed_between_look_and_bring_does_not_tie(office, monkeypatch):
    path = office.file(ADA, BOB)
    begin = Importer.begin

    async def changed(self, *given):
        batch = await begin(self, *given)
        office.file(ADA, ("bob", 51, "2026-02-05"))
        return batch

    monkeypatch.setattr(Importer, "begin", changed)
    with pytest.raises(Fatal, match=r"file has 2 rows and 150 points, the ledger 2 and 151"):
        await office.bring(path)


async def test_who_owes_points_pays_them_with_what_he_brings(office, door, ask):
    gone = Order().every(shipped="all", delivered="all", returned="all")
    async with door.client() as http:
        body = {"points": -10, "reason": "correction"}
        await door.give(*Order().life())
        headers = {"Idempotency-Key": "1"}
        await http.post("/v1/accounts/ada/adjustments", json=body, headers=headers)
    await door.give(gone.event("order.returned", 5))
    assert await seen(ask) == (0, 0, 10)

    await office.bring(office.file(ADA))

    assert await seen(ask) == (0, 90, 0)
    await balanced(ask)
    said = await office.reverse()
    assert "row 2: 10 points stay: 10 spent" in said
    assert await seen(ask) == (0, 0, 0)
    await balanced(ask)


async def test_a_batch_is_taken_back_but_for_what_was_spent(office, door, ask):
    await office.bring(office.file(ADA, BOB, ("eve", 30, "2026-01-01")))
    async with door.client() as http:
        headers = {"Idempotency-Key": "1"}
        body = {"points": -40, "reason": "correction"}
        answer = await http.post("/v1/accounts/ada/adjustments", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
    await door.give(erasure("eve"))

    said = await office.reverse()

    assert "row 2: 40 points stay: 40 spent" in said
    assert "140 points went back" in said
    assert await seen(ask) == (0, 0, 0)
    books = await balanced(ask)
    assert books["accounts"]["opening"] == -40
    with pytest.raises(Fatal, match="is reversed"):
        await office.reverse()
    assert "is open" in await office.bring(office.file(ADA, BOB)), "it may come again"


async def test_a_reversal_that_is_killed_goes_on(office, ask, monkeypatch):
    monkeypatch.setattr("services.loyalty.work.import_back.CHUNK_ROWS", 2)
    path = office.file(*((f"c{n}", 10, "2026-01-05") for n in range(5)))
    await office.bring(path)

    real, calls = import_store.retreat, []

    async def dies(*given):
        calls.append(given)
        if len(calls) == 2:
            raise Killed
        await real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(import_store, "retreat", dies)
        with pytest.raises(Killed):
            await office.reverse()
    with pytest.raises(Fatal, match="being taken back"):
        await office.bring(path)

    said = await office.reverse()

    assert "50 points went back" in said
    assert (await balanced(ask))["accounts"]["opening"] == 0


async def test_a_closed_batch_stays(office):
    await office.bring(office.file(ADA))
    await Desk().close(office.settings, office.batch)

    with pytest.raises(Fatal, match="is closed"):
        await office.reverse()
    with pytest.raises(Fatal, match="only an open one"):
        await Desk().close(office.settings, office.batch)
    with pytest.raises(Fatal, match="no batch 999999"):
        await office.reverse(999_999)
    await Desk().list(office.settings)
    assert "closed" in office.said()


async def test_notes_are_kept_and_go_with_the_customer(office, door):
    await office.bring(office.file((*ADA, "web", "card 12")))
    assert [row.note for row in await door.query("SELECT note FROM import_row")] == ["card 12"]

    await door.give(erasure("ada"))

    assert [row.note for row in await door.query("SELECT note FROM import_row")] == [""]


async def test_json_lines_and_packed_files_and_other_names_are_read(office, ask):
    lines = office.folder / "old.ndjson.gz"
    told = {"email": "A@b.example", "points_balance": 7, "state": "member"}
    with gzip.open(lines, "wt", encoding="utf-8") as file:
        file.write(f"{json.dumps(told)}\n")
    ids = office.file(("A@b.example", "c-1"), header=("Email", "ID"), name="customers.csv")
    mapping = Mapping.of(PRESETS["smile"], constants=["earned_at=2026-01-01"])

    await office.bring(lines, mapping=mapping, ids=ids)

    assert await seen(ask, "c-1") == (0, 7, 0)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "names of its columns"),
        (b"customer_id,points,earned_at\nada,1\n", "row 2 has 2 fields"),
        ("customer_id,points,earned_at\n\xe9".encode("latin-1"), "--encoding"),
        (b"who,points\nada,5\n", "no column for customer_id"),
    ],
)
async def test_a_file_that_cannot_be_read_says_where_and_what_to_do(office, content, named):
    path = office.folder / "bad.csv"
    path.write_bytes(content)

    with pytest.raises(Fatal, match=named):
        await office.bring(path)
    with pytest.raises(Fatal, match="No such file"):
        await office.bring(office.folder / "none.csv")


async def test_orders_may_come_in_while_a_file_is_brought(office, door, ask, monkeypatch):
    monkeypatch.setattr("services.loyalty.work.imports.CHUNK_ROWS", 5)
    names = [f"c{n}" for n in range(20)]
    path = office.file(*((name, 10, "2026-01-05") for name in names))

    async def shop():
        for number, name in enumerate(names):
            await door.give(*Order(f"o{number}", name).life())

    await asyncio.gather(office.bring(path), shop())

    assert [(await seen(ask, name))[1] for name in names] == [20] * len(names)
    await balanced(ask)


async def test_kill_9_in_the_middle_and_the_same_command_again(office, door, ask):
    rows = 6_000
    path = office.file(*((f"c{n % 997}", n + 1, "2026-01-05") for n in range(rows)))
    command = [sys.executable, "-m", "services.loyalty", "import", str(path)]
    settings = office.settings.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    env = {f"REGULARS_{name.upper()}": str(value) for name, value in settings.items()}
    run = await asyncio.create_subprocess_exec(
        *command, env=os.environ | env, stdout=asyncio.subprocess.DEVNULL
    )
    done = 0
    while not done and run.returncode is None:
        await asyncio.sleep(0.02)
        found = await door.query("SELECT row_done FROM import_batch")
        done = found[0].row_done if found else 0
    run.kill()
    await run.wait()
    [killed] = await door.query("SELECT row_done, state FROM import_batch")
    assert (killed.row_done < rows, killed.state) == (True, "importing"), "it died in the middle"

    said = await office.bring(path)

    assert "goes on after row" in said
    total = rows * (rows + 1) // 2
    assert f"the ledger has {total:,} points in {rows:,} rows of 997 customers" in said
    assert (await balanced(ask))["accounts"]["opening"] == -total
