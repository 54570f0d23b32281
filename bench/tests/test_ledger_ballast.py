"""What a benchmark loads by COPY is what the public door would have written."""

import asyncpg
import pytest

from bench import ledger_ballast
from services.loyalty.__main__ import SERVICE
from shared.testing import migrator, open_door, settings_for

MEMBERS, LINES = 3, 2
SHOWN = {
    table: ", ".join(
        name for name in columns if name not in {"account_id", "cause_partition", "cause_offset"}
    )
    for table, columns in ledger_ballast.COLUMNS.items()
}


@pytest.fixture(scope="session")
def template(make_template, tmp_path_factory):
    """To copy from, so it is not one of those that loyalty's own tests fill."""
    return make_template("loyalty", migrator(SERVICE, tmp_path_factory.mktemp("ballast")), 2)


async def tables(door):
    """Every row, with the customer in place of the account's id, which is drawn."""
    found = {}
    for table, columns in SHOWN.items():
        if table == "order_state":
            rows = await door.query(f"SELECT {columns}, activates_at FROM {table}")
        else:
            rows = await door.query(
                f"SELECT m.customer_id AS whose, {columns.replace('customer_id', 't.customer_id')}"
                f" FROM {table} AS t JOIN member AS m USING (account_id)"
            )
        found[table] = sorted(map(repr, rows))
    return found


async def test_the_ballast_is_what_the_orders_leave(template, make_database, tmp_path):
    members = [ledger_ballast.Member(number, LINES) for number in range(MEMBERS)]
    loaded_into = await make_database("loyalty", template=template.name)
    conn = await asyncpg.connect(loaded_into.url)
    await ledger_ballast.load(conn, MEMBERS, LINES)
    await conn.close()
    given_to = await make_database("loyalty", template=template.name)
    books = []
    for database in (loaded_into, given_to):
        settings = settings_for(SERVICE, database, tmp_path)
        async with open_door(SERVICE, settings) as door:
            if database is given_to:
                await door.give(
                    *[event for each in members for event in ledger_ballast.events(each)]
                )
            async with door.client("audit:read") as http:
                reconciled = (await http.get("/v1/ledger/reconciliation")).json()
            assert reconciled["balanced"], reconciled
            books.append(await tables(door))

    loaded, given = books

    assert loaded == given
    assert len(given["posting"]) == MEMBERS * LINES * 2
