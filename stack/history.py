"""From the sales of a file to events, in the order of time. Pure.

The file knows one moment of each order, when it was invoiced; the moments of its life are
put a second apart, and say so in `docs/replay.md`. Ids are made of the invoice and what
happened, and nothing depends on when or how often this runs: a second run publishes the
same events again, and they have no second effect.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel import Locale

from shared.events import codec
from shared.events.catalog import ProductPublished, Variant
from shared.events.customers import CustomerRegistered
from shared.events.envelope import Event, Fact
from shared.events.orders import Line, OrderSnapshot, Tender
from stack.mapping import Mapping
from stack.sales import Item, Order, Sales, TakeBack

COUNTRIES = {"eire": "IE", "hong kong": "HK", "usa": "US", "rsa": "ZA", "czech republic": "CZ"}
"""As UCI writes them, and Unicode's English names do not."""
SUFFIXES = {".csv", ".gz", ".xz", ".txt", ".tsv"}

PAID, DELIVERED, TAKEN_BACK = (timedelta(seconds=n) for n in (1, 2, 3))
ONE_SECOND = timedelta(seconds=1)
FIRST_TAKE_BACK = 4
"""Its revision: placed is 1, paid 2, delivered 3, also where a cancelled order has no 3."""


class Moment(NamedTuple):
    """Something that happens to the order of this number; moments sort as they are told."""

    time: datetime
    number: int
    revision: int


class Product(NamedTuple):
    """An article, its newest name, and since when it is called so; `sold`, not only given."""

    first_seen: datetime
    named_at: datetime
    name: str
    sold: bool


@dataclass(slots=True)
class _State:
    """What was taken back of an order so far, by the place of the item."""

    pieces: dict[int, int] = field(default_factory=dict)
    money: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Telling:
    """What one pass over the moments remembers, by the number of the order."""

    states: dict[int, _State] = field(default_factory=dict)
    placed: dict[int, tuple[Line, ...]] = field(default_factory=dict)
    """The lines from placed to paid, which are the same."""


class History:
    """All events of one file; iterate as often as needed."""

    def __init__(self, sales: Sales, mapping: Mapping, path: Path) -> None:
        self.sales = sales
        self.mapping = mapping
        self.source = f"replay/{_stem(path)}"
        self._zone = ZoneInfo(mapping.zone)
        self._products = _products(sales.orders)
        self._cancelled = {
            number for number, o in enumerate(sales.orders) if o.is_cancelled(self._zone)
        }
        self._moments = sorted(self._plan())

    def __len__(self) -> int:
        return len(self._products) + len(self.sales.customers) + len(self._moments)

    def __iter__(self) -> Iterator[Event]:
        for sku, product in self._products.items():
            yield self._publication(sku, product)
        registrations = [(time, id_) for id_, (time, _) in self.sales.customers.items()]
        waiting = sorted(registrations, reverse=True)
        telling = _Telling()
        for moment in self._moments:
            while waiting and waiting[-1][0] <= moment.time:
                yield self._registration(waiting.pop()[1])
            yield self._tell(moment, telling)
        while waiting:
            yield self._registration(waiting.pop()[1])

    def _plan(self) -> Iterator[Moment]:
        for number, order in enumerate(self.sales.orders):
            yield Moment(order.time, number, 1)
            yield Moment(order.time + PAID, number, 2)
            if number not in self._cancelled:
                yield Moment(order.time + DELIVERED, number, 3)
            for revision, back in enumerate(order.take_backs, start=FIRST_TAKE_BACK):
                yield Moment(back.time + TAKEN_BACK, number, revision)

    def _make(self, type_: str, data: Fact, name: str, time: datetime) -> Event:
        return codec.make(type_, data, id=name, source=self.source, time=time, backfill=True)

    def _publication(self, sku: str, product: Product) -> Event:
        """A longer file may know a newer name, so the id has the name's time."""
        data = ProductPublished(
            product_id=sku,
            name=product.name or sku,
            variants=(Variant(sku=sku),),
            published_at=product.first_seen,
        )
        name = f"product/{sku}/{product.named_at:%Y%m%dT%H%M%S}"
        return self._make("product.published", data, name, product.named_at)

    def _registration(self, customer_id: str) -> Event:
        time, country = self.sales.customers[customer_id]
        code = _country_code(country)
        known = {"country": code} if code else {}
        data = CustomerRegistered(customer_id=customer_id, store=self.mapping.store, **known)
        name = f"customer/{customer_id}/registered"
        return self._make("customer.registered", data, name, time - ONE_SECOND)

    def _tell(self, moment: Moment, telling: _Telling) -> Event:
        order = self.sales.orders[moment.number]
        if moment.revision < FIRST_TAKE_BACK:
            kind = ("placed", "paid", "delivered")[moment.revision - 1]
            name = f"{order.invoice}/{kind}"
            lines = telling.placed.pop(moment.number, None)
            if lines is None:
                lines = self._lines(moment, order, None)
            if kind == "placed":
                telling.placed[moment.number] = lines
        else:
            back = order.take_backs[moment.revision - FIRST_TAKE_BACK]
            state = telling.states.setdefault(moment.number, _State())
            for place, pieces, amount_minor in back.taken:
                state.pieces[place] = state.pieces.get(place, 0) + pieces
                state.money[place] = state.money.get(place, 0) + amount_minor
            kind = self._kind(moment.number, order, back)
            name = f"{order.invoice}/{kind}/{back.invoice}"
            lines = self._lines(moment, order, state)
        return self._make(f"order.{kind}", self._snapshot(moment, order, lines), name, moment.time)

    def _kind(self, number: int, order: Order, back: TakeBack) -> str:
        if number in self._cancelled:
            return "cancelled"
        goods = any(_is_goods(order.items[taken.place]) for taken in back.taken)
        return "returned" if goods else "refunded"

    def _snapshot(self, moment: Moment, order: Order, lines: tuple[Line, ...]) -> OrderSnapshot:
        """The order as it stands at this revision."""
        total = order.total_minor
        paid = moment.revision > 1 and total
        tenders = {"tenders": (Tender(kind="money", amount_minor=total),)} if paid else {}
        return OrderSnapshot(
            customer_id=order.customer or f"guest:{order.invoice}",
            order_id=order.invoice,
            revision=moment.revision,
            store=self.mapping.store,
            channel="web",
            currency=self.mapping.currency,
            total_minor=total,
            lines=lines,
            placed_at=order.time,
            **tenders,
        )

    def _lines(self, moment: Moment, order: Order, state: _State | None) -> tuple[Line, ...]:
        cancelled = moment.number in self._cancelled
        delivered = moment.revision > 2 and not cancelled
        lines = []
        for place, item in enumerate(order.items):
            counts: dict[str, int] = {}
            if delivered:
                counts = {"shipped": item.quantity, "delivered": item.quantity}
            if state and place in state.money:
                if cancelled or _is_goods(item):
                    counts["cancelled" if cancelled else "returned"] = state.pieces[place]
                counts["refunded_minor"] = state.money[place]
            lines.append(_line(place, item, counts))
        return tuple(lines)


def _line(place: int, item: Item, counts: dict[str, int]) -> Line:
    given: dict[str, str | int] = {"kind": item.kind} if item.kind != "product" else {}
    if _is_goods(item):
        given |= {"product_id": item.sku, "sku": item.sku}
    if item.discount_minor:
        given["discount_minor"] = item.discount_minor
    return Line.model_validate(
        {
            "line_id": str(place + 1),
            **given,
            "name": item.name,
            "quantity": item.quantity,
            "unit_price_minor": item.unit_price_minor,
            "total_minor": item.total_minor,
            **counts,
        }
    )


def _is_goods(item: Item) -> bool:
    """Whether it is a thing of the catalogue, and not shipping or a fee."""
    return item.kind in {"product", "gift", "gift_card"}


def _products(orders: Sequence[Order]) -> dict[str, Product]:
    """Every article, under the newest name that it was sold by.

    A gift's name counts only until the article is sold: gifts are often booked under a remark.
    """
    found: dict[str, Product] = {}
    for order in orders:
        for item in filter(_is_goods, order.items):
            known = found.get(item.sku)
            sold = item.kind != "gift"
            if known is None:
                found[item.sku] = Product(order.time, order.time, item.name, sold)
            elif item.name and item.name != known.name and (sold or not known.sold):
                found[item.sku] = known._replace(named_at=order.time, name=item.name, sold=sold)
            elif sold and not known.sold:
                found[item.sku] = known._replace(sold=True)
    return found


@cache
def _country_code(country: str) -> str | None:
    """ISO 3166-1 alpha-2 of a name or code, where it is one."""
    folded = country.casefold()
    if folded in COUNTRIES:
        return COUNTRIES[folded]
    codes = _territories()
    return country.upper() if country.upper() in codes.values() else codes.get(folded)


@cache
def _territories() -> dict[str, str]:
    names: Iterable[tuple[str, str]] = Locale("en").territories.items()
    return {name.casefold(): code for code, name in names if len(code) == 2 and code.isalpha()}


def _stem(path: Path) -> str:
    """The file's name without its endings: packed or not, it is the same history."""
    while path.suffix in SUFFIXES:
        path = path.with_suffix("")
    return path.name[:100]
