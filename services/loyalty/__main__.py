"""python -m services.loyalty api | worker | migrate | export-ledger | verify-ledger | ..."""

from pathlib import Path

from services.loyalty import celebrating, handlers, leaving, sealing, tables, tiering, timers
from services.loyalty.api import (
    accounts,
    actions,
    back_tests,
    bindings,
    cards,
    definitions,
    explanations,
    ledger,
    membership,
    offers,
    orders,
    quotes,
    reservations,
    rules,
    subscriptions,
    tier_grants,
    tiers,
)
from services.loyalty.settings import Settings
from services.loyalty.store import journals
from shared.service import Service, commands, execute
from shared.world import Handler

SERVICE = Service(
    settings=Settings,
    name="loyalty",
    handler=Handler(handlers.TOPICS, handlers.handle, handlers.erase, quarantine=True),
    routers=(
        accounts.router,
        actions.router,
        back_tests.router,
        bindings.router,
        cards.router,
        definitions.MEMBERSHIP_PLANS,
        definitions.MEMBERSHIP_TERMS,
        definitions.PROGRAMMES,
        explanations.router,
        ledger.router,
        offers.router,
        offers.OFFERS,
        membership.router,
        orders.router,
        quotes.router,
        reservations.router,
        rules.router,
        subscriptions.router,
        tier_grants.router,
        tiers.PLANS,
        tiers.router,
    ),
    caused=journals.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
    jobs=(sealing.SEAL, tiering.JOB, *timers.JOBS, *leaving.JOBS, celebrating.CELEBRATE),
)
app = commands(SERVICE)
app.command("verify-ledger")(sealing.verify)


@app.command("export-ledger")
def export_ledger(file: Path) -> None:
    """Write the sealed ledger to FILE, for verify-ledger and for auditors."""
    execute(SERVICE, lambda settings: sealing.export(settings, file))


if __name__ == "__main__":
    app()
