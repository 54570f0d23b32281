"""One visit to the simulated store: what is looked at, put into the cart, and bought or left.

Who is registered may browse anonymously first, and is known from the moment of the login;
who is not registers at the checkout, or buys as a guest.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.events.browse import (
    CartItem,
    CategoryViewed,
    CheckoutStarted,
    ProductsSearched,
    ProductViewed,
    WishlistItemAdded,
)
from shared.events.customers import CustomerIdentified
from shared.events.engagement import ActivityCompleted, ContentViewed
from shared.events.envelope import Event, Fact
from shared.events.fields import Campaign, Product
from stack import catalogue
from stack.catalogue import ARTICLES, BY_SKU
from stack.pen import Pen
from stack.shoppers import MINI, TMALL, UK, Shopper

CAMPAIGNS = (
    Campaign(source="newsletter", medium="email", name="autumn-teas"),
    Campaign(source="google", medium="cpc", name="gongfu"),
    Campaign(source="xiaohongshu", medium="social", name="matcha-week"),
)
STEP_MIN, STEP_MAX = timedelta(seconds=8), timedelta(seconds=150)


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a visit ended in; `guest` buys without an account."""

    at: datetime
    skus: dict[str, int]
    guest: bool
    campaign: Campaign | None


@dataclass(slots=True)
class Visit:
    """Its events so far; `at` is the visit's own clock."""

    pen: Pen
    shopper: Shopper
    at: datetime
    known: bool
    session_id: str
    campaign: Campaign | None
    events: list[Event] = field(default_factory=list)
    seen: list[catalogue.Product] = field(default_factory=list)

    def tell(self, type_: str, model: type[Fact], **fields: Any) -> None:
        """Something that happens now, under the id that the shop sees."""
        shopper = self.shopper
        acting = shopper.acting_id if self.known else shopper.visitor_id
        place = {"store": shopper.front.store, "channel": shopper.front.channel}
        fact = model(customer_id=acting, **place, **fields)
        self.events.append(self.pen.write(type_, fact, self.at))
        self.at += self.pen.between(STEP_MIN, STEP_MAX)

    def browse(self, type_: str, model: type[Fact], **fields: Any) -> None:
        """The same, for what carries the visit and its currency."""
        visit = {"session_id": self.session_id, "currency": self.shopper.front.currency}
        campaign = {"campaign": self.campaign} if self.campaign else {}
        self.tell(type_, model, **visit, **campaign, **fields)


def visit(pen: Pen, shopper: Shopper, at: datetime) -> tuple[list[Event], Purchase | None]:
    """The visit that begins at `at`, and the purchase that it ends in."""
    # On the web a login is not always remembered; the platforms' apps know who it is.
    known = shopper.front is not UK or (shopper.identified and pen.chance(0.7))
    campaign = pen.choice(CAMPAIGNS) if pen.chance(0.15) else None
    this = Visit(pen, shopper, at, known, pen.number("s"), campaign)
    _look_around(this)
    _fill_cart(this)
    purchase = _check_out(this)
    return this.events, purchase


def _look_around(this: Visit) -> None:
    pen, shopper = this.pen, this.shopper
    if shopper.joined_at and shopper.front is MINI and pen.chance(0.2):
        this.tell("activity.completed", ActivityCompleted, kind="check_in", activity_id="daily")
    if pen.chance(0.35):
        path = shopper.pick(pen.rng, []).path
        this.browse("category.viewed", CategoryViewed, category=" > ".join(path))
    if pen.chance(0.15):
        wanted = shopper.pick(pen.rng, []).name_in(shopper.front.currency)
        found = pen.rng.randint(0, 9)
        this.browse("products.searched", ProductsSearched, query=wanted, results=found)
    if pen.chance(0.06):
        article_id, title, _theme = pen.choice(ARTICLES)
        this.tell("content.viewed", ContentViewed, content_id=article_id, title=title)
    for _ in range(1 + min(7, int(pen.rng.expovariate(0.5)))):
        product = shopper.pick(pen.rng, this.seen)
        this.seen.append(product)
        sku = shopper.pick_sku(pen.rng, product)
        this.browse("product.viewed", ProductViewed, **_product(shopper, sku))
        if shopper.joined_at and pen.chance(0.05):
            this.browse("wishlist.item_added", WishlistItemAdded, **_product(shopper, sku))


def _fill_cart(this: Visit) -> None:
    pen, shopper = this.pen, this.shopper
    for product in dict.fromkeys(this.seen):
        if pen.chance(0.15 + 0.45 * shopper.buys):
            sku = shopper.pick_sku(pen.rng, product)
            quantity = pen.rng.choices((1, 2, 3), (0.75, 0.18, 0.07))[0]
            shopper.cart[sku] = shopper.cart.get(sku, 0) + quantity
            item = {**_product(shopper, sku), "quantity": quantity}
            this.browse("cart.item_added", CartItem, cart_id=this.session_id, **item)
    if len(shopper.cart) > 1 and pen.chance(0.12):
        sku = pen.choice(sorted(shopper.cart))
        item = {**_product(shopper, sku), "quantity": shopper.cart.pop(sku)}
        this.browse("cart.item_removed", CartItem, cart_id=this.session_id, **item)


def _check_out(this: Visit) -> Purchase | None:
    """Login or registration, checkout, purchase; or the cart is left."""
    pen, shopper = this.pen, this.shopper
    if not shopper.cart or not pen.chance(0.25 + 0.5 * shopper.buys):
        if shopper.joined_at and not this.known and pen.chance(0.3):
            _log_in(this)
        return None
    guest = shopper.joined_at is None and (shopper.front is TMALL or pen.chance(0.3))
    if not guest:
        _log_in(this)
    value = sum(
        BY_SKU[sku].price_of(sku, shopper.front.currency) * quantity
        for sku, quantity in shopper.cart.items()
    )
    basket = tuple(
        Product(**_product(shopper, sku), quantity=quantity)
        for sku, quantity in shopper.cart.items()
    )
    this.browse("checkout.started", CheckoutStarted, value_minor=value, products=basket)
    if not pen.chance(0.8):
        return None
    bought = dict(shopper.cart)
    shopper.cart.clear()
    return Purchase(this.at, bought, guest, this.campaign)


def _log_in(this: Visit) -> None:
    """The shop learns who it is; who has no account opens one."""
    pen, shopper = this.pen, this.shopper
    if shopper.joined_at is None:
        shopper.joined_at = this.at
        this.events.append(pen.write("customer.registered", shopper.registration(), this.at))
        for consent in shopper.consents(pen.rng):
            this.events.append(pen.write("customer.consented", consent, this.at))
    if not this.known and shopper.front is not TMALL:
        this.at += timedelta(seconds=1)
        fact = CustomerIdentified(
            customer_id=shopper.customer_id, anonymous_id=shopper.visitor_id, method="login"
        )
        this.events.append(pen.write("customer.identified", fact, this.at))
        this.at += timedelta(seconds=5)
    this.known = shopper.identified = True


def _product(shopper: Shopper, sku: str) -> dict[str, Any]:
    """The fields that tell which product, in the words of the events."""
    product, currency = BY_SKU[sku], shopper.front.currency
    fields = {
        "product_id": product.product_id,
        "sku": sku,
        "name": product.name_in(currency),
        "category": " > ".join(product.path),
        "brand": product.brand,
        "price_minor": product.price_of(sku, currency),
    }
    variant = product.variant_of(sku)
    return fields | ({"variant": variant} if variant else {})
