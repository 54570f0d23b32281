"""The ballast that is poured in by COPY is what the public door makes of the same orders."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from bench import measure
from bench.ballast import Ballast
from services.loyalty.__main__ import SERVICE
from shared.testing import migrator, open_door, settings_for

EXPIRES_AT = datetime(2026, 3, 1, tzinfo=UTC)
PROGRAMME = {
    "starts_at": "2000-01-01T00:00:00Z",
    "expiry": {"after_months": 1, "round_to": "month"},
}
# The account's id is drawn at random, and the log gives offsets by partition.
BOOKS = {
    "member": "SELECT customer_id FROM member ORDER BY 1",
    "balance": """
        SELECT customer_id, pending, active, reserved, owed, version
        FROM balance JOIN member USING (account_id) ORDER BY 1
    """,
    "lot": """
        SELECT customer_id, id, source, document, store, earned_at, expires_at, points, remaining,
            reserved, used, expired, taken_back
        FROM lot JOIN member USING (account_id) ORDER BY 2
    """,
    "journal": """
        SELECT customer_id, id, source, document, revision, kind, event_time, cause_source,
            cause_id, cause_topic, store
        FROM journal JOIN member USING (account_id) ORDER BY 2
    """,
    "posting": """
        SELECT customer_id, journal_id, points, position, debit, credit, line
        FROM posting JOIN member USING (account_id) ORDER BY 2, 4
    """,
}


@pytest.fixture(scope="session")
def template(make_template, tmp_path_factory):
    """To copy from, so it is not one of those that loyalty's own tests fill."""
    return make_template("loyalty", migrator(SERVICE, tmp_path_factory.mktemp("loyalty")), 3)


async def test_the_ballast_is_what_the_public_door_makes(template, make_database, tmp_path):
    ballast = Ballast(members=3, lots_each=4, expires_at=EXPIRES_AT)
    by_door = await make_database("loyalty", template=template.name)
    by_copy = await make_database("loyalty", template=template.name)

    async with open_door(SERVICE, settings_for(SERVICE, by_door, tmp_path)) as door:
        async with door.client() as http:
            headers = {"Idempotency-Key": "p"}
            await http.put("/v1/programmes/default", json=PROGRAMME, headers=headers)
        await door.give(*[ballast.event(number) for number in range(ballast.orders)])
    async with measure.connected(by_copy.url) as conn:
        await ballast.pour(conn)

    for table, sql in BOOKS.items():
        given, poured = await rows(by_door, sql), await rows(by_copy, sql)
        assert given, table
        assert poured == given, table
    assert ballast.time(ballast.orders) < EXPIRES_AT - timedelta(days=30)


async def rows(database, sql):
    conn: asyncpg.Connection = await asyncpg.connect(database.url)
    try:
        return [tuple(row) for row in await conn.fetch(sql)]
    finally:
        await conn.close()
