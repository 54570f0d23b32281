"""python -m services.loyalty api | worker | migrate | export-ledger | verify-ledger | ..."""

from pathlib import Path

from services.loyalty import (
    celebrating,
    handlers,
    import_cli,
    sealing,
    tables,
    tiering,
    timers,
)
from services.loyalty.api import (
    accounts,
    actions,
    adjustments,
    back_tests,
    definitions,
    explanations,
    holds,
    ledger,
    orders,
    quotes,
    reservations,
    rules,
    tier_grants,
    tiers,
)
from services.loyalty.store import journals
from shared.service import Service, commands, execute
from shared.settings import Settings
from shared.world import Handler

SERVICE = Service(
    settings=Settings,
    name="loyalty",
    handler=Handler(handlers.TOPICS, handlers.handle, handlers.erase, quarantine=True),
    routers=(
        accounts.router,
        actions.router,
        adjustments.POLICIES,
        adjustments.router,
        back_tests.router,
        definitions.PROGRAMMES,
        explanations.router,
        holds.LIMITS,
        holds.router,
        ledger.router,
        orders.router,
        quotes.router,
        reservations.router,
        rules.router,
        tier_grants.router,
        tiers.PLANS,
        tiers.router,
    ),
    caused=journals.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
    jobs=(sealing.SEAL, tiering.JOB, *timers.JOBS, celebrating.CELEBRATE),
)
app = commands(SERVICE)
app.command("verify-ledger")(sealing.verify)
import_cli.register(app, lambda run: execute(SERVICE, run))


@app.command("export-ledger")
def export_ledger(file: Path) -> None:
    """Write the sealed ledger to FILE, for verify-ledger and for auditors."""
    execute(SERVICE, lambda settings: sealing.export(settings, file))


if __name__ == "__main__":
    app()
