"""python -m services.loyalty api | worker | migrate | dead-letters ..."""

from pathlib import Path

from services.loyalty import handlers, tables
from services.loyalty.api import accounts, ledger, orders
from services.loyalty.store import journals
from shared.service import Service, commands
from shared.settings import Settings
from shared.world import Handler

SERVICE = Service(
    settings=Settings,
    name="loyalty",
    handler=Handler(handlers.TOPICS, handlers.handle, handlers.erase, quarantine=True),
    routers=(accounts.router, ledger.router, orders.router),
    caused=journals.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
)
app = commands(SERVICE)

if __name__ == "__main__":
    app()
