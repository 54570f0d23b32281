"""`python -m shared.tests.talk CASE`: a process in which something goes wrong with a customer's
values in hand, with our logging, for `test_logs.py` to read."""

import asyncio
import logging
import sys

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared import db, logs
from shared.settings import Settings

CUSTOMER, EMAIL, PHONE, NAME = "c-ada-4711", "ada@mail.example", "+447700900123", "Lovelace"
PERSONAL = (CUSTOMER, EMAIL, PHONE, NAME)
CAST = text("SELECT CAST(:email AS integer), CAST(:name AS text)")

log = structlog.get_logger()
library = logging.getLogger("library")


def quotes(said):
    assert EMAIL in said


async def query(settings):
    """The driver quotes what it was given."""
    engine = db.connect(settings)
    try:
        async with engine.connect() as conn:
            await conn.execute(CAST, {"email": EMAIL, "name": NAME})
    except DBAPIError as error:
        quotes(str(error))
        log.error("query failed", exc_info=error)  # noqa: TRY400 -- as the services' edge does
    await engine.dispose()


async def constraint(settings):
    """The server quotes the row."""
    conn = await asyncpg.connect(str(settings.database_url))
    await conn.execute("CREATE TEMP TABLE person (email text CHECK (email = ''))")
    try:
        await conn.execute("INSERT INTO person VALUES ($1)", EMAIL)
    except asyncpg.CheckViolationError as error:
        quotes(error.detail)
        log.exception("row refused")
    await conn.close()


async def task(_settings):
    """asyncio quotes the task when it is forgotten."""

    async def greet(customer):
        raise LookupError(f"{customer} of {PERSONAL}")

    forgotten = asyncio.create_task(greet(CUSTOMER), name=EMAIL)
    await asyncio.wait([forgotten])
    del forgotten


async def callback(_settings):
    """asyncio quotes the arguments."""

    def greet(*_who):
        raise LookupError(EMAIL)

    asyncio.get_running_loop().call_soon(greet, *PERSONAL)
    await asyncio.sleep(0)


async def phrases(_settings):
    library.warning("cannot greet %s", NAME)
    library.warning(f"cannot greet {NAME}")
    library.warning(LookupError(NAME))
    library.warning([NAME])


async def again(_settings):
    for number in range(3):
        library.warning("broker %s is away", number)
        library.error(f"broker {number} is away")


if __name__ == "__main__":
    settings = Settings(service="profile")
    logs.start(settings, "worker")
    asyncio.run(globals()[sys.argv[1]](settings))
