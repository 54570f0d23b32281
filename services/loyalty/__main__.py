"""python -m services.loyalty api | worker | migrate | export-ledger | verify-ledger | ..."""

from pathlib import Path

from services.loyalty import birthdays, celebrating, handlers, sealing, tables, tiering, timers
from services.loyalty.api import (
    accounts,
    actions,
    back_tests,
    code_pools,
    coupons,
    definitions,
    explanations,
    ledger,
    orders,
    quotes,
    reservations,
    rewards,
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
        back_tests.router,
        code_pools.router,
        coupons.router,
        definitions.PROGRAMMES,
        definitions.REWARDS,
        explanations.router,
        ledger.router,
        orders.router,
        quotes.router,
        reservations.router,
        rewards.router,
        rules.router,
        tier_grants.router,
        tiers.PLANS,
        tiers.router,
    ),
    caused=journals.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
    jobs=(sealing.SEAL, tiering.JOB, *timers.JOBS, celebrating.CELEBRATE, birthdays.JOB),
)
app = commands(SERVICE)
app.command("verify-ledger")(sealing.verify)


@app.command("export-ledger")
def export_ledger(file: Path) -> None:
    """Write the sealed ledger to FILE, for verify-ledger and for auditors."""
    execute(SERVICE, lambda settings: sealing.export(settings, file))


if __name__ == "__main__":
    app()
