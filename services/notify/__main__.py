"""python -m services.notify api | worker | migrate | dead-letters ..."""

from pathlib import Path

from services.notify import api, handlers, sender, tables
from services.notify.settings import Settings
from services.notify.store import notices
from shared.service import Service, commands
from shared.world import Handler

SERVICE = Service(
    settings=Settings,
    name="notify",
    handler=Handler(handlers.TOPICS, handlers.handle, notices.erase),
    routers=(api.router,),
    caused=notices.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
    jobs=(sender.GIVE_UP_LOST,),
    extra=(sender.make,),
)

app = commands(SERVICE)

if __name__ == "__main__":
    app()
