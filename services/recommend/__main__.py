"""python -m services.recommend api | worker | migrate | dead-letters ..."""

from pathlib import Path

from services.recommend import handlers, jobs, tables
from services.recommend.api import orders, products, recommendations
from services.recommend.store import facts
from shared.service import Service, commands
from shared.settings import Settings
from shared.world import Handler

SERVICE = Service(
    settings=Settings,
    name="recommend",
    handler=Handler(handlers.TOPICS, handlers.handle, handlers.erase),
    routers=(recommendations.router, products.router, orders.router),
    caused=facts.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
    jobs=(jobs.BUILD_LISTS,),
)
app = commands(SERVICE)

if __name__ == "__main__":
    app()
