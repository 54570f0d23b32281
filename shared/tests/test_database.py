"""Schema, roles, days and jobs, against real PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from shared import db, inbox, jobs, migrate
from shared.jobs import Job
from shared.settings import Settings
from shared.tests.counting import SERVICE
from shared.tests.harness import eventually


async def test_replicas_may_migrate_at_once_and_again(make_database, counting_settings):
    database = await make_database("counting")
    settings = counting_settings.model_copy(
        update={"database_url": database.url, "owner_database_url": database.owner_url}
    )
    both = [migrate.migrate(settings, SERVICE.migrations, SERVICE.metadata) for _ in range(3)]

    await asyncio.gather(*both)

    await migrate.check(settings, SERVICE.migrations, SERVICE.metadata)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET caller = 'nobody'",
        "DELETE FROM audit",
        "CREATE TABLE mine (id int)",
        "DROP TABLE tally",
        "TRUNCATE tally",
    ],
)
async def test_the_services_role_may_not(door, statement):
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
        await door.query(statement)


async def test_a_process_paused_before_it_executes_keeps_no_locks(door, monkeypatch):
    """PostgreSQL calls such a session active, not idle in a transaction."""
    monkeypatch.setattr(db, "TRANSACTION_MS", 500)
    engine = db.connect(door.world.settings)

    async def free():
        [row] = await door.query("SELECT pg_try_advisory_xact_lock(7) AS had")
        return row.had

    async with engine.connect() as paused:
        await paused.execute(text("SELECT pg_advisory_xact_lock(7)"))
        driver = (await paused.get_raw_connection()).driver_connection
        await driver.prepare("SELECT 1")
        assert not await free()
        await eventually(free, timeout_s=20)
        with pytest.raises(DBAPIError) as lost:
            await paused.execute(text("SELECT 2"))
        assert db.is_transient(lost.value)
        await paused.invalidate()
    await engine.dispose()


async def days(door):
    rows = await door.query(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'inbox'::regclass"
    )
    return {row.name for row in rows}


async def test_days_are_made_ahead_and_dropped_when_no_copy_can_come(door, make_admin):
    before = await days(door)
    owner = await make_admin(door)
    await owner.execute(
        "CREATE TABLE inbox_20200101 PARTITION OF inbox"
        " FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')"
    )
    await owner.execute(
        "CREATE TABLE inbox_20200102 PARTITION OF inbox"
        " FOR VALUES FROM ('2020-01-02') TO ('2020-01-03')"
    )
    await owner.execute(
        "INSERT INTO inbox (day, consumer, source, id, topic, partition, log_offset)"
        " VALUES ('2020-01-02', 'profile', 's', 'replayed lately', 't', 0, 0)"
    )
    await owner.execute(
        "INSERT INTO inbox VALUES"
        " ('2011-01-01', 'profile', 's', 'old', 't', 0, 0, now() - interval '50 days'),"
        " ('2011-01-01', 'profile', 's', 'new', 't', 0, 0, now())"
    )

    async with door.engine.begin() as conn:
        await inbox.keep_days(conn)

    assert len(before) == 6, "yesterday, today, three ahead, and the default"
    assert await days(door) == before | {"inbox_20200102"}
    assert [row.id for row in await door.query("SELECT id FROM inbox_default")] == ["new"]


async def test_one_replica_runs_a_job_and_once_in_its_interval(door):
    runs = []

    async def work(engine, _world):
        runs.append(1)
        async with engine.connect() as conn:
            await conn.execute(text("SELECT pg_sleep(0.2)"))

    job = Job("sweep", 3600, work)
    both = [jobs.run_once(job, door.engine, door.world, None) for _ in range(4)]
    assert sorted(await asyncio.gather(*both)) == ["", "", "", "done"]

    assert not await jobs.run_once(job, door.engine, door.world, None)
    assert len(runs) == 1


async def test_a_job_that_fails_says_so_and_comes_again(door):
    async def work(_engine, _world):
        raise RuntimeError

    assert (
        await jobs.run_once(Job("broken", 0, work), door.engine, door.world, None) == "RuntimeError"
    )

    [row] = await door.query("SELECT outcome FROM job WHERE name = 'broken'")
    assert row.outcome == "RuntimeError"
    assert await jobs.run_once(Job("broken", 0, work), door.engine, door.world, None)


def test_the_connections_of_all_services_fit_into_one_postgresql(infra):
    """Twice every process of a small deployment, while one release takes over from another."""
    api = Settings.model_fields["database_pool_max"].default
    hot = Settings.model_fields["hot_pool_max"].default
    bell, relay, job = 1, 1, 1
    worker = max(3, api - 1) + relay + job

    assert 2 * 4 * (api + hot + bell + worker) < int(infra.postgres.settings["max_connections"])
