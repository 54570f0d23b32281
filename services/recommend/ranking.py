"""From what a person did to what to show him: pure, and the same for the same past.

    interest    the newest products of the past, each with a weight
    candidates  what is bought together with them, each with the one that speaks most for it
    taste       which variants he chooses, as far as the catalogue tells them apart

A product that was bought is not recommended again. Weights are the usual order of strength,
not learned; learning them takes exposures, which are not collected yet.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.recommend.interactions import Interaction

SEEDS_MAX = 20
"""Products of the past that are looked at; further ones would weigh less than a tenth."""
CANDIDATES_MAX = 200
DECAY = 0.9
"""Of the weight, for each newer product: the last view says most about the next."""
WEIGHTS = {"buy": 3.0, "cart": 3.0, "wishlist": 2.0, "view": 1.0}


@dataclass(frozen=True, slots=True)
class Interest:
    """`seeds`: weight by product, newest first. `chosen`: the sku last chosen of a product."""

    seeds: dict[str, float] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)
    bought: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """`because` of which product of the past, the one that adds most to the score."""

    product_id: str
    score: float
    because: str


List = tuple[Sequence[str], Sequence[float]]
"""Products and their scores, best first."""
Likes = Counter[tuple[str, str]]
"""How much speaks for an attribute's value."""
NOTHING_LIKED: Likes = Counter()


def interest(past: Iterable[Interaction]) -> Interest:
    """What the past says, whatever order it is told in."""
    strength: dict[str, float] = {}
    chosen: dict[str, str] = {}
    bought: set[str] = set()
    taken_out: set[str] = set()
    for each in sorted(past, key=_when, reverse=True):
        product_id = each.product_id
        kind = each.kind
        if kind == "buy":
            bought.add(product_id)
        elif kind == "uncart":
            taken_out.add(product_id)
        if kind == "uncart" or (kind == "cart" and product_id in taken_out):
            kind = "view"
        if product_id not in strength and len(strength) == SEEDS_MAX:
            continue
        strength[product_id] = max(strength.get(product_id, 0.0), WEIGHTS[kind])
        if each.sku:
            chosen.setdefault(product_id, each.sku)
    seeds = {
        product_id: weight * DECAY**place
        for place, (product_id, weight) in enumerate(strength.items())
    }
    return Interest(seeds, chosen, frozenset(bought))


def candidates(interest: Interest, lists: Mapping[str, List]) -> list[Candidate]:
    """Best first, without what was bought; equal scores in the order of their ids."""
    scores: dict[str, float] = {}
    strongest: dict[str, tuple[float, str]] = {}
    for seed, weight in interest.seeds.items():
        for other, score in zip(*lists.get(seed, ((), ())), strict=True):
            if other in interest.bought:
                continue
            share = weight * score
            scores[other] = scores.get(other, 0.0) + share
            if share > strongest.get(other, (0.0, ""))[0]:
                strongest[other] = (share, seed)
    best = sorted(scores, key=lambda product_id: (-scores[product_id], product_id))
    return [Candidate(id_, scores[id_], strongest[id_][1]) for id_ in best[:CANDIDATES_MAX]]


def likes(interest: Interest, variants: Mapping[str, Sequence[Mapping[str, Any]]]) -> Likes:
    """Which values of attributes the chosen variants have; `variants` by product."""
    found: Likes = Counter()
    for product_id, sku in interest.chosen.items():
        for variant in variants.get(product_id, ()):
            if variant["sku"] == sku:
                found.update(_values(variant))
    return found


def nearest(
    sellable: Sequence[str], variants: Sequence[Mapping[str, Any]], liked: Likes, chosen: str = ""
) -> str | None:
    """Of the skus that can be sold the one chosen before, else the one with most that is liked."""
    if chosen in sellable or not sellable:
        return chosen or None
    worth = {
        variant["sku"]: sum(liked[value] for value in _values(variant)) for variant in variants
    }
    return max(sellable, key=lambda sku: worth.get(sku, 0))  # of equals the catalogue's first


def _values(variant: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in variant.get("attributes", {}).items()]


def _when(each: Interaction) -> tuple[int, str, str]:
    """Within one order the order of its products stands: highest amount first."""
    return (each.time_us, each.source, each.id)
