"""/v1/reports: sums over everybody; no one's personal data."""

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.profile.store import reports
from shared.http.auth import needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/reports", tags=["reports"])


class TotalView(BaseModel):
    """Money in minor units of the base currency; the words are the profile's."""

    customers: int = Field(description="People with a placed order, whatever their ids.")
    placed_orders: int
    placed_minor: int
    orders: int
    units: int
    spend_minor: int
    orders_left_out: int


class CurrencyView(BaseModel):
    """The placed orders in one currency, in its own minor units."""

    currency: str
    placed_orders: int
    placed_minor: int
    orders: int
    spend_minor: int


class TotalsView(BaseModel):
    """Guests, who are nobody twice, are summed apart."""

    base_currency: str
    customers: TotalView
    guests: TotalView
    customer_currencies: list[CurrencyView]
    guest_currencies: list[CurrencyView]


@router.get("/totals", openapi_extra=needs("profile:read"))
async def get_totals(context: Ctx) -> TotalsView:
    """What all profiles add up to."""
    async with context.engine.connect() as conn:
        totals = await reports.sum_profiles(conn)
        currencies = await reports.sum_currencies(conn)
    by_guest: dict[bool, list[CurrencyView]] = {False: [], True: []}
    for row in currencies:
        by_guest[row.guest].append(CurrencyView.model_validate(asdict(row)))
    return TotalsView(
        base_currency=context.stores.base_currency,
        customers=TotalView.model_validate(asdict(totals[False])),
        guests=TotalView.model_validate(asdict(totals[True])),
        customer_currencies=by_guest[False],
        guest_currencies=by_guest[True],
    )
