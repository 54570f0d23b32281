"""python -m services.notify.tests.lone_sender: a worker's sender alone, to be killed."""

import asyncio

from services.notify.sender import Sender
from services.notify.settings import Settings
from services.notify.tests.conftest import STORES
from shared import db
from shared.clock import Clock
from shared.erasure import Tombstones
from shared.testing import SECRET
from shared.world import World


async def main() -> None:
    settings = Settings(service="notify")  # the rest is in the environment
    world = World(settings, STORES, Clock.parse(settings.clock), Tombstones(SECRET))
    await Sender(db.connect(settings), world).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
