"""python -m services.profile api | worker | migrate | dead-letters ..."""

from pathlib import Path

from services.profile import handlers, tables
from services.profile.api import identity, orders, privacy, profiles, reports
from services.profile.store import caused
from shared.service import Service, commands
from shared.settings import Settings
from shared.world import Handler

SERVICE = Service(
    settings=Settings,
    name="profile",
    handler=Handler(handlers.TOPICS, handlers.handle, handlers.erase),
    routers=(
        profiles.router,
        identity.router,
        privacy.router,
        orders.router,
        reports.router,
    ),
    caused=caused.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
    intake=True,
)
app = commands(SERVICE)

if __name__ == "__main__":
    app()
