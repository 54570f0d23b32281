"""Proof that the books balance and were not changed, for finance and for alarms."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.loyalty.api.reach import sees_people
from services.loyalty.books import reconciliation
from services.loyalty.store import books, seals
from shared.errors import Conflict
from shared.http import paging
from shared.http.auth import needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])

POSITION = paging.Cursor(int)
LAST = 2**63 - 1
BOOKS = needs("audit:read", "loyalty:read")
SUMS_MAX_S = 60
"""Sums over the whole ledger may take longer than the shell allows; they lock nothing."""


class ReconciliationRunning(Conflict):
    """Another reconciliation is being made; ask again when it is done."""


class BalanceSums(BaseModel):
    """The kept balances of all accounts, added up."""

    accounts: int
    members: int
    pending: int
    active: int
    reserved: int
    owed: int


class LotSums(BaseModel):
    """What the lots say they hold, added up, whether or not it is past its date."""

    lots: int
    remaining: int
    """What members' `active` points lie in."""
    reserved: int


class Reconciliation(BaseModel):
    """The ledger at one moment. `balanced` is the answer; the rest is how one may check it."""

    at: datetime
    balanced: bool
    accounts: dict[str, int]
    """Each kind of account: credits less debits, from the postings."""
    sum: int
    liability: int
    """What members hold, from the postings; what some of them owe is not set off against it."""
    kept: BalanceSums
    """The same from the balances that are kept beside them."""
    lots: LotSums
    """The same from the lots: `remaining` is `kept.active`, `reserved` is `kept.reserved`."""
    accounts_differing: int
    """Accounts whose kept balance is not what their postings come to, or not what is in their
    lots."""
    accounts_differing_sample: list[UUID]
    """Up to ten; none for a key without `loyalty:read`, because an account leads to a person."""
    lots_differing: int
    """Lots that do not hold what their own postings left in them."""
    lots_differing_sample: list[UUID]
    """Up to ten, as `GET /v1/ledger/journals` names them."""
    journals: int
    postings: int
    orders_without_base_total: int
    """Orders in another currency that said no base total, and so earned nothing."""


class SealView(BaseModel):
    """A sealed block of journals; its head vouches for all blocks up to it."""

    block: int
    head: str
    """SHA-256 in hexadecimal; also published as `ledger.sealed`."""
    journals: int
    sealed_at: datetime


@router.get("/seals", openapi_extra=BOOKS)
async def list_seals(
    context: Ctx, cursor: str = "", limit: paging.Limit = 50
) -> paging.Page[SealView]:
    """The chain over the books, newest block first."""
    async with context.engine.connect() as conn:
        found = await seals.list_newest(conn, POSITION.decode(cursor) or LAST, limit + 1)
    views = [
        SealView(block=s.block, head=s.head.hex(), journals=s.journals, sealed_at=s.sealed_at)
        for s in found
    ]
    return paging.page(views, limit, lambda view: POSITION.encode(view.block))


@router.get(
    "/reconciliation", openapi_extra=needs("audit:read", "loyalty:read", seconds_max=SUMS_MAX_S)
)
async def reconcile(context: Ctx, request: Request) -> Reconciliation:
    """Sum the ledger and compare, in one snapshot. Reads every posting: seconds for millions."""
    found = await books.sum_all(context.hot)
    if found is None:
        raise ReconciliationRunning(headers={"Retry-After": "5"})
    held = reconciliation.sums((flow.debit, flow.credit, flow.points) for flow in found.flows)
    kept, owed, total = found.kept, reconciliation.liability(held), sum(held.values())
    return Reconciliation(
        at=kept.at,
        balanced=not (total or found.accounts.count or found.lots.count)
        and owed == kept.pending + kept.active + kept.reserved,
        accounts={kind.name.lower(): points for kind, points in held.items()},
        sum=total,
        liability=owed,
        kept=BalanceSums.model_validate(kept, from_attributes=True),
        lots=LotSums.model_validate(found.in_lots, from_attributes=True),
        accounts_differing=found.accounts.count,
        accounts_differing_sample=list(found.accounts.sample) if sees_people(request) else [],
        lots_differing=found.lots.count,
        lots_differing_sample=list(found.lots.sample),
        journals=kept.journals,
        postings=sum(flow.postings for flow in found.flows),
        orders_without_base_total=kept.no_base_total,
    )
