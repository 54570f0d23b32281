"""python -m services.loyalty api | worker | migrate | export-ledger | verify-ledger | ..."""

from pathlib import Path
from typing import Annotated

import typer

from services.loyalty import closing_cli, handlers, import_cli, tables
from services.loyalty.api import (
    accounts,
    actions,
    adjustments,
    audit_trail,
    back_tests,
    bindings,
    cards,
    closings,
    code_pools,
    coupons,
    definitions,
    explanations,
    holds,
    imports,
    ledger,
    liability,
    membership,
    offers,
    orders,
    overview,
    promotion_costs,
    quotes,
    referrals,
    reservations,
    rewards,
    rules,
    subscriptions,
    tier_grants,
    tiers,
)
from services.loyalty.jobs import birthdays, celebrating, sealing, timers
from services.loyalty.settings import Settings
from services.loyalty.store import journals
from services.loyalty.work import leaving, referring, tiering
from shared.service import Service, commands, execute
from shared.world import Handler

SERVICE = Service(
    settings=Settings,
    name="loyalty",
    handler=Handler(handlers.TOPICS, handlers.handle, handlers.erase, quarantine=True),
    routers=(  # a request looks at each route until one fits: the checkout's come first
        accounts.router,
        reservations.router,
        quotes.router,
        overview.router,
        coupons.router,
        offers.router,
        actions.router,
        audit_trail.router,
        adjustments.POLICIES,
        adjustments.router,
        back_tests.router,
        bindings.router,
        cards.router,
        definitions.MEMBERSHIP_PLANS,
        definitions.MEMBERSHIP_TERMS,
        code_pools.router,
        definitions.PROGRAMMES,
        definitions.REWARDS,
        explanations.router,
        holds.LIMITS,
        holds.router,
        imports.router,
        ledger.router,
        offers.OFFERS,
        membership.router,
        closings.router,
        definitions.FINANCE_POLICIES,
        liability.router,
        promotion_costs.router,
        orders.router,
        referrals.PROGRAMMES,
        referrals.router,
        rewards.router,
        rules.router,
        subscriptions.router,
        tier_grants.router,
        tiers.PLANS,
        tiers.router,
    ),
    caused=journals.caused,
    metadata=tables.METADATA,
    migrations=Path(__file__).parent / "migrations",
    jobs=(
        *(sealing.SEAL, tiering.JOB, *timers.JOBS, *leaving.JOBS),
        *(celebrating.CELEBRATE, birthdays.JOB, referring.JOB),
    ),
)
app = commands(SERVICE)
app.command("verify-ledger")(sealing.verify)
import_cli.register(app, lambda run: execute(SERVICE, run))


@app.command("export-ledger")
def export_ledger(file: Path) -> None:
    """Write the sealed ledger to FILE, for verify-ledger and for auditors."""
    execute(SERVICE, lambda settings: sealing.export(settings, file))


@app.command("close-month")
def close_month(
    month: str,
    by: Annotated[str, typer.Option(help="who does it; two persons close a month")],
    approve: Annotated[int, typer.Option(help="the draft that another has prepared")] = 0,
) -> None:
    """Prepare the statement of MONTH, such as 2026-10; with --approve close it by a draft."""
    execute(SERVICE, lambda settings: closing_cli.run(settings, month, by, approve))


if __name__ == "__main__":
    app()
