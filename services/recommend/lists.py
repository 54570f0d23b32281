"""What is bought together with a product: counted over its newest orders, scored, cut.

Baskets are counted anew for each product whose orders have changed; nothing is added up and
taken back. A table of pairs was tried: a shop's 20,000 orders of 26 products make 1.5 million
pairs and took 4.1 million increments, 200 orders/s; and its rows are shared by everybody.

The score is the cosine, pulled to zero where there is little evidence:

    both / (sqrt(a x b) + SHRINKAGE)

with `both` the orders that hold both, `a` and `b` those that hold either. Raw lift is not
used: it puts what was sold once with anything first (Brin et al. 1997, Deshpande and Karypis
2004). Where only the newest RECENT_MAX orders of `a` are looked at, `b` is scaled alike.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

RECENT_MAX = 500
"""Newest orders of a product that are looked at: bounds the work, and follows the season."""
LIST_MAX = 50
CONSIDERED_MAX = 200
"""Of the other products, those with the most orders in common are scored."""
SHRINKAGE = 10.0


@dataclass(frozen=True, slots=True)
class Company:
    """A product's newest orders: how many, and how many of them hold each other product."""

    orders: int
    others: dict[str, int]


@dataclass(frozen=True, slots=True)
class AlsoBought:
    """One product's list, best first; the three run in step."""

    product_id: str
    others: list[str]
    orders: list[int]
    scores: list[float]


def gather(baskets: Iterable[tuple[str, Sequence[str]]]) -> dict[str, Company]:
    """From (product, the products of one of its orders), the company of each product."""
    orders: Counter[str] = Counter()
    others: dict[str, Counter[str]] = {}
    for product_id, basket in baskets:
        orders[product_id] += 1
        others.setdefault(product_id, Counter()).update(basket)
    return {
        product_id: Company(orders[product_id], _most(product_id, counts))
        for product_id, counts in others.items()
    }


def build(product_id: str, company: Company, popularity: Mapping[str, int]) -> AlsoBought:
    """The list of one product; `popularity` has the orders of each product that is in it."""
    own = popularity.get(product_id, 0)
    scored = [
        (-similarity(both, company.orders, own, popularity.get(other, 0)), other, both)
        for other, both in company.others.items()
    ]
    best = sorted(scored)[:LIST_MAX]
    return AlsoBought(
        product_id,
        [other for _, other, _ in best],
        [both for _, _, both in best],
        [-score for score, _, _ in best],
    )


def similarity(both: int, looked_at: int, own: int, other: int) -> float:
    """0 to 1: how much two products are bought together.

    `both` of the `looked_at` newest orders of the one hold the other; `own` and `other` are
    all orders of either. Popularity may be ahead of or behind the orders that were looked at;
    the two `max` keep what must hold of them.
    """
    share = looked_at / max(own, looked_at)
    expected = max(other * share, both)
    return both / (sqrt(looked_at * expected) + SHRINKAGE)


def _most(product_id: str, counts: Counter[str]) -> dict[str, int]:
    del counts[product_id]
    by_id = sorted(counts)  # so that of equals the same are kept, in whatever order they came
    most = sorted(by_id, key=counts.__getitem__, reverse=True)[:CONSIDERED_MAX]
    return {other: counts[other] for other in most}
