"""The life of one simulated order, from its placing to the review that it gets.

Most are paid, shipped and delivered; some are never paid, cancelled, sent in two parcels,
partly returned, refunded a little, or complained about. Each event carries the whole order
as it then stands, with the next revision.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.events.envelope import Event
from shared.events.feedback import ReviewSubmitted, SurveyAnswered, TicketSnapshot
from shared.events.fields import Shipment
from shared.events.orders import Line, OrderSnapshot, Tender
from stack.catalogue import BY_SKU, CNY_RATE
from stack.pen import Pen
from stack.shoppers import UK, Shopper
from stack.visits import Purchase

FREE_SHIPPING_MINOR = {"GBP": 4_000, "CNY": 19_900}
SHIPPING_MINOR = {"GBP": 395, "CNY": 1_200}
COUPON = "FERN10"
OPINIONS = {
    1: ("Broken on arrival", "One piece was in shards."),
    2: ("Not as pictured", "The colour is another one."),
    3: ("It is all right", ""),
    4: ("Lovely", "Would buy it again."),
    5: ("Perfect", "A present that was loved."),
}


@dataclass(slots=True)
class OrderLife:
    """The order as it now stands; `tell` writes its next revision."""

    pen: Pen
    shopper: Shopper
    order_id: str
    customer_id: str
    placed_at: datetime
    lines: list[Line]
    fixed: dict[str, Any]
    """What stays the same in every revision."""
    test: bool = False
    revision: int = 0
    events: list[Event] = field(default_factory=list)

    @property
    def total_minor(self) -> int:
        return sum(line.total_minor for line in self.lines)

    def tell(self, type_: str, at: datetime, **fields: Any) -> None:
        self.revision += 1
        total = self.total_minor
        foreign = self.fixed["currency"] != "GBP"
        money = {"base_total_minor": round(total * CNY_RATE), "rate": CNY_RATE} if foreign else {}
        snapshot = OrderSnapshot(
            customer_id=self.customer_id,
            order_id=self.order_id,
            revision=self.revision,
            **self.fixed,
            **money,
            **fields,
            total_minor=total,
            lines=tuple(self.lines),
            placed_at=self.placed_at,
            **({"test": True} if self.test else {}),
        )
        self.events.append(self.pen.write(type_, snapshot, at))

    def goods(self) -> list[int]:
        """The places of the lines that are goods."""
        return [place for place, line in enumerate(self.lines) if line.kind == "product"]

    def change(self, places: list[int], **counts: str | int) -> None:
        """Set counts of these lines; a text names the count to copy."""
        for place in places:
            line = self.lines[place]
            values = {
                name: getattr(line, count) if isinstance(count, str) else count
                for name, count in counts.items()
            }
            self.lines[place] = line.model_copy(update=values)


def live(pen: Pen, shopper: Shopper, purchase: Purchase, *, test: bool = False) -> list[Event]:
    """All events of the order that this purchase begins."""
    order = _place(pen, shopper, purchase)
    order.test = test
    order.tell("order.placed", order.placed_at)
    paid_at = order.placed_at + pen.between(timedelta(seconds=15), timedelta(minutes=4))
    if pen.chance(0.03):
        order.change(order.goods(), cancelled="quantity")
        unpaid_at = order.placed_at + timedelta(hours=1)
        order.tell("order.cancelled", unpaid_at, cancel_reason="not paid in time")
        return order.events
    order.fixed = order.fixed | {"tenders": _tenders(pen, order)}
    order.tell("order.paid", paid_at)
    if pen.chance(0.04):
        all_lines = list(range(len(order.lines)))
        order.change(all_lines, cancelled="quantity", refunded_minor="total_minor")
        regret_at = paid_at + pen.between(timedelta(minutes=5), timedelta(hours=3))
        order.tell("order.cancelled", regret_at, cancel_reason="changed my mind")
        return order.events
    delivered_at = _ship(order, paid_at)
    _afterwards(order, delivered_at)
    return order.events


def _place(pen: Pen, shopper: Shopper, purchase: Purchase) -> OrderLife:
    front = shopper.front
    order_id = pen.number("o")
    coupon = pen.chance(0.12)
    lines = [
        _line(number, sku, quantity, shopper, coupon=coupon)
        for number, (sku, quantity) in enumerate(purchase.skus.items(), start=1)
    ]
    if sum(line.total_minor for line in lines) < FREE_SHIPPING_MINOR[front.currency]:
        cost = SHIPPING_MINOR[front.currency]
        shipping = Line(
            line_id="shipping", kind="shipping", quantity=1, unit_price_minor=cost, total_minor=cost
        )
        lines.append(shipping)
    fixed = {
        "store": front.store,
        "channel": front.channel,
        "currency": front.currency,
        "contact": shopper.contact(),
        **({"campaign": purchase.campaign} if purchase.campaign else {}),
        **({"coupon": COUPON} if coupon else {}),
    }
    buyer = f"guest:{order_id}" if purchase.guest else shopper.customer_id
    return OrderLife(pen, shopper, order_id, buyer, purchase.at, lines, fixed)


def _line(number: int, sku: str, quantity: int, shopper: Shopper, *, coupon: bool) -> Line:
    product, currency = BY_SKU[sku], shopper.front.currency
    price = product.price_of(sku, currency)
    gross = price * quantity
    discount = gross // 10 if coupon else 0
    net = gross - discount
    return Line(
        line_id=str(number),
        product_id=product.product_id,
        sku=sku,
        name=product.name_in(currency),
        category=" > ".join(product.path),
        brand=product.brand,
        variant=product.variant_of(sku),
        quantity=quantity,
        unit_price_minor=price,
        discount_minor=discount,
        tax_minor=net - round(net / (1.20 if shopper.front is UK else 1.13)),
        total_minor=net,
    )


def _tenders(pen: Pen, order: OrderLife) -> tuple[Tender, ...]:
    total = order.total_minor
    if total > 2_000 and pen.chance(0.05):
        card = Tender(kind="gift_card", amount_minor=1_000)
        return (card, Tender(kind="money", amount_minor=total - 1_000))
    return (Tender(kind="money", amount_minor=total),)


def _ship(order: OrderLife, paid_at: datetime) -> datetime:
    """One parcel, or two; when all of it has arrived."""
    pen, goods = order.pen, order.goods()
    rest = [place for place in range(len(order.lines)) if place not in goods]
    cut = len(goods) - 1 if len(goods) > 1 and pen.chance(0.15) else len(goods)
    at = paid_at
    for parcel in (goods[:cut] + rest, goods[cut:]):
        if parcel:
            at += pen.between(timedelta(hours=5), timedelta(hours=40))
            order.change(parcel, shipped="quantity")
            order.tell("order.shipped", at, shipment=_shipment(order))
    at += pen.between(timedelta(hours=18), timedelta(days=4))
    order.change(list(range(len(order.lines))), delivered="quantity")
    order.tell("order.delivered", at)
    return at


def _shipment(order: OrderLife) -> Shipment:
    carrier = "Royal Mail" if order.shopper.front is UK else "顺丰速运"
    number = f"{carrier[:2].upper()}{order.pen.rng.getrandbits(36):010x}".upper()
    url = f"https://track.example/{order.pen.tag}"
    return Shipment(carrier=carrier, tracking_number=number, tracking_url=url)


def _afterwards(order: OrderLife, delivered_at: datetime) -> None:
    pen = order.pen
    later = delivered_at + pen.between(timedelta(days=1), timedelta(days=6))
    if order.shopper.front is not UK:
        completed_at = delivered_at + timedelta(days=2)
        order.tell("order.completed", completed_at)
        later = max(later, completed_at + timedelta(hours=1))
    if pen.chance(0.08):
        _return_some(order, later)
    elif pen.chance(0.03):
        place = pen.choice(order.goods())
        goodwill = order.lines[place].total_minor // 5
        order.change([place], refunded_minor=goodwill)
        order.tell("order.refunded", later)
    if order.customer_id.startswith("guest:") or order.test:
        return
    if pen.chance(0.3):
        _review(order, later)
    if pen.chance(0.06):
        _complain(order, delivered_at)


def _return_some(order: OrderLife, at: datetime) -> None:
    """A line, or one piece of it, comes back."""
    pen = order.pen
    place = pen.choice(order.goods())
    line = order.lines[place]
    told = {"return_id": pen.number("r"), "return_reason": pen.choice(("colour", "damaged", ""))}
    order.tell("return.requested", at, **told)
    pieces = line.quantity if pen.chance(0.6) else 1
    back = line.total_minor * pieces // line.quantity
    order.change([place], returned=pieces)
    received_at = at + pen.between(timedelta(days=2), timedelta(days=5))
    order.tell("return.received", received_at, **told)
    order.change([place], refunded_minor=back)
    order.tell("order.returned", received_at + timedelta(hours=1), **told)


def _review(order: OrderLife, at: datetime) -> None:
    pen = order.pen
    line = order.lines[pen.choice(order.goods())]
    rating = pen.rng.choices((1, 2, 3, 4, 5), (4, 6, 12, 33, 45))[0]
    title, body = OPINIONS[rating]
    review = ReviewSubmitted(
        customer_id=order.customer_id,
        review_id=pen.number("v"),
        product_id=line.product_id or "",
        sku=line.sku or "",
        order_id=order.order_id,
        line_id=line.line_id,
        rating=rating,
        title=title,
        review_body=body,
        store=order.shopper.front.store,
    )
    order.events.append(pen.write("review.submitted", review, at))


def _complain(order: OrderLife, delivered_at: datetime) -> None:
    """A ticket, sometimes escalated, and what the customer said about it."""
    pen = order.pen
    at = delivered_at + pen.between(timedelta(hours=1), timedelta(days=2))
    ticket = TicketSnapshot(
        customer_id=order.customer_id,
        ticket_id=pen.number("t"),
        category=pen.choice(("delivery", "damage", "invoice")),
        channel=pen.choice(("chat", "email", "phone")),
        order_id=order.order_id,
        opened_at=at,
        store=order.shopper.front.store,
    )
    order.events.append(pen.write("ticket.opened", ticket, at))
    at += pen.between(timedelta(minutes=10), timedelta(hours=8))
    if pen.chance(0.2):
        ticket = ticket.model_copy(update={"priority": "high", "first_response_at": at})
        order.events.append(pen.write("ticket.escalated", ticket, at))
        at += timedelta(hours=5)
    solved = {"first_response_at": at, "closed_at": at, "resolution": "solved"}
    order.events.append(pen.write("ticket.closed", ticket.model_copy(update=solved), at))
    answer = SurveyAnswered(
        customer_id=order.customer_id,
        survey_id="after-ticket",
        kind="csat",
        score=pen.rng.randint(2, 5),
        ticket_id=ticket.ticket_id,
        store=order.shopper.front.store,
    )
    order.events.append(pen.write("survey.answered", answer, at + timedelta(hours=2)))
