"""A shop that publishes: products, offers, orders and what visitors do."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import combinations

from shared.events import codec
from shared.events.browse import CartItem, ProductViewed, WishlistItemAdded
from shared.events.catalog import ProductPublished, ProductWithdrawn, Variant
from shared.events.envelope import Event
from shared.events.offers import OfferChanged
from shared.events.orders import Line, OrderSnapshot
from shared.events.profiles import ErasureRequested, ProfileMerged, ProfileUnmerged

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def event(type_, data, id_, minutes=0.0) -> Event:
    return codec.make(type_, data, id=id_, source="shop", time=at(minutes))


def line(product, total=1000, quantity=1, **more) -> Line:
    """`product` also names the line; sku `<product>-1`."""
    more = {"sku": f"{product}-1", "kind": "product", "product_id": product, **more}
    return Line(
        line_id=more.pop("line_id", product),
        quantity=quantity,
        unit_price_minor=total // quantity,
        total_minor=total,
        **more,
    )


def order(order_id, customer, *products, revision=1, minutes=0.0, type_="order.placed", **more):
    """`products`: ids, or lines. Placed at `minutes`; each revision is told one minute later."""
    lines = tuple(line(p) if isinstance(p, str) else p for p in products)
    more = {"placed_at": at(minutes), **more}
    snapshot = OrderSnapshot(
        customer_id=customer,
        order_id=order_id,
        revision=revision,
        store="web",
        currency="EUR",
        total_minor=sum(each.total_minor for each in lines),
        lines=lines,
        **more,
    )
    return event(type_, snapshot, f"{order_id}-{revision}", minutes + revision)


def view(customer, product, minutes=0.0, **more) -> Event:
    data = ProductViewed(customer_id=customer, store="web", product_id=product, **more)
    return event("product.viewed", data, f"view-{customer}-{product}-{minutes}", minutes)


def cart(customer, product, minutes=0.0, *, out=False, **more) -> Event:
    data = CartItem(customer_id=customer, store="web", product_id=product, **more)
    type_ = "cart.item_removed" if out else "cart.item_added"
    return event(type_, data, f"{type_}-{customer}-{product}-{minutes}", minutes)


def wish(customer, product, minutes=0.0) -> Event:
    data = WishlistItemAdded(customer_id=customer, store="web", product_id=product)
    return event("wishlist.item_added", data, f"wish-{customer}-{product}-{minutes}", minutes)


def product(product_id, minutes=0.0, *, skus=(), **more) -> Event:
    """Published with variants; `skus` as names, or as Variants."""
    variants = tuple(Variant(sku=sku) if isinstance(sku, str) else sku for sku in skus)
    more = {"name": f"The {product_id}", **more}
    data = ProductPublished(product_id=product_id, variants=variants, **more)
    return event("product.published", data, f"p-{product_id}-{minutes}", minutes)


def withdrawn(product_id, minutes=0.0) -> Event:
    data = ProductWithdrawn(product_id=product_id)
    return event("product.withdrawn", data, f"w-{product_id}-{minutes}", minutes)


def offer(sku, minutes=0.0, *, store="web", **more) -> Event:
    more = {"price_minor": 1000, "currency": "EUR", **more}
    data = OfferChanged(sku=sku, store=store, **more)
    return event("offer.changed", data, f"o-{store}-{sku}-{minutes}", minutes)


def merged(version, *members, minutes=0.0) -> list[Event]:
    """One event under each member's key; the last member is the canonical one."""
    return [
        event(
            "profile.merged",
            ProfileMerged(
                customer_id=member,
                canonical_id=members[-1],
                members=tuple(sorted(members)),
                version=version,
            ),
            f"merge-{member}-{version}",
            minutes,
        )
        for member in members
    ]


def unmerged(version, *members, minutes=0.0) -> list[Event]:
    """Each is a person of its own again."""
    return [
        event(
            "profile.unmerged",
            ProfileUnmerged(
                customer_id=member,
                canonical_id=member,
                members=(member,),
                removed=members[:1],
                version=version,
            ),
            f"unmerge-{member}-{version}",
            minutes,
        )
        for member in members
    ]


def erasure(customer, minutes=60.0) -> Event:
    data = ErasureRequested(
        customer_id=customer,
        request_id="r1",
        members=(customer,),
        erased_until=at(minutes),
        deadline=NOON + timedelta(days=30),
    )
    return event("erasure.requested", data, f"erase-{customer}", minutes)


def pairs(baskets: Iterable[Iterable[str]]) -> dict[tuple[str, str], int]:
    """How many baskets hold each pair: counted by hand."""
    counted: dict[tuple[str, str], int] = {}
    for basket in baskets:
        for a, b in combinations(sorted(set(basket)), 2):
            counted[a, b] = counted.get((a, b), 0) + 1
    return counted
