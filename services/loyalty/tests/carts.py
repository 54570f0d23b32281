"""Carts and offers for the tests of offers, and strategies that draw them."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from services.loyalty.promotions.offers import Offer
from services.loyalty.terms.cart import Cart, Item, Shopper
from services.loyalty.terms.definitions import Version

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ADA = Shopper("ada")
MINOR = st.integers(1, 20_000)


def cart(*items, **more):
    return Cart("web", NOON, UTC, "EUR", tuple(items), **more)


def item(line_id, total_minor, quantity=1, **more):
    return Item(line_id, quantity, total_minor, **more)


def offer(id_, gives, **more):
    return Version(id_, 1, NOON, Offer.model_validate({"gives": gives, **more}))


@st.composite
def items(draw, min_size=1):
    """Lines of pieces of a few categories, some already discounted, and a parcel."""
    found = [
        item(
            str(number),
            draw(st.integers(0, 20_000)),
            draw(st.integers(1, 5)),
            discount_minor=draw(st.sampled_from((0, 0, 500))),
            category=(draw(st.sampled_from("ab")),),
            kind=draw(st.sampled_from(("product", "product", "product", "gift_card"))),
        )
        for number in range(draw(st.integers(min_size, 5)))
    ]
    return [*found, item("s", draw(st.integers(0, 900)), kind="shipping")]


@st.composite
def ladders(draw, *, by_pieces=None):
    pieces = draw(st.booleans()) if by_pieces is None else by_pieces
    percent = draw(st.booleans())
    size = draw(st.integers(1, 3))
    needs = draw(st.lists(st.integers(1, 6) if pieces else MINOR, min_size=size, max_size=size))
    saves = draw(st.lists(st.integers(1, 100) if percent else MINOR, min_size=size, max_size=size))
    steps = [
        {"pieces" if pieces else "spend_minor": n, "percent" if percent else "save_minor": s}
        for n, s in zip(sorted(set(needs)), sorted(set(saves)), strict=False)
    ]
    return {"kind": "steps", "steps": steps, "off": draw(st.sampled_from(("lines", "shipping")))}


@st.composite
def everies(draw):
    spend = draw(MINOR)
    return {"kind": "every", "spend_minor": spend, "save_minor": draw(st.integers(1, spend))}


SETS = st.fixed_dictionaries(
    {
        "kind": st.just("nth_piece"),
        "n": st.integers(2, 4),
        "percent": st.integers(1, 100),
        "which": st.just("cheapest_of_set"),
    }
)
CHEAPEST = SETS.map(lambda gives: gives | {"which": "cheapest"})
BUNDLES = st.fixed_dictionaries(
    {"kind": st.just("pieces_for"), "pieces": st.integers(2, 4), "price_minor": MINOR}
)
GIFTS = st.fixed_dictionaries(
    {
        "kind": st.just("gift"),
        "spend_minor": MINOR,
        "choices": st.just([{"sku": "mug", "worth_minor": 300}, {"sku": "pen"}]),
        "times_max": st.integers(1, 3),
    }
)
MONOTONE = ladders() | everies() | SETS | BUNDLES
"""Kinds that never give less for a larger cart."""
KINDS = MONOTONE | CHEAPEST | GIFTS


@st.composite
def offers(draw, kinds=KINDS, max_size=5):
    """Offers that stand beside each other in every way there is."""
    found = []
    for number in range(draw(st.integers(1, max_size))):
        more = {
            "basis": draw(st.sampled_from(("list", "price", "left"))),
            "priority": draw(st.sampled_from((1, 2))),
            "exclusive": draw(st.sampled_from((False, False, True))),
            "share_max_percent": draw(st.sampled_from((100, 100, 30))),
            "lines": draw(st.sampled_from(({}, {"categories": ["a"]}))),
            "when": {"spend_min_minor": draw(st.sampled_from((0, 0, 3_000)))},
            "group": draw(st.sampled_from((None, "g"))),
        }
        found.append(offer(f"o{number}", draw(kinds), **more))
    return found
