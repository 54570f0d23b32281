"""What each kind of offer gives: the figures of docs/offers.md, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.loyalty.promotions.offers import Offer
from services.loyalty.promotions.quoting import quote
from services.loyalty.tests.carts import ADA, cart, item, offer

PAGE = Path(__file__).parents[3] / "docs" / "offers.md"
EXAMPLE = re.compile(r"```json\n(.*?)```\n\n((?:\|[^\n]*\n)+)", re.DOTALL)
LINE = re.compile(r"(\d+) × (\d+\.\d\d) ?(\w*)")
GOLD = replace(ADA, tier="gold")


def examples():
    for number, (definitions, table) in enumerate(EXAMPLE.findall(PAGE.read_text())):
        for row in table.splitlines()[2:]:
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            yield pytest.param(json.loads(definitions), *cells, id=f"{number}: {cells[0]}")


def lines_of(text):
    for number, (pieces, price, what) in enumerate(LINE.findall(text)):
        total = int(pieces) * int(price.replace(".", ""))
        kind = "shipping" if what == "shipping" else "product"
        yield item(str(number), total, int(pieces), kind=kind, category=(what,))


def money(minor):
    return f"{minor // 100}.{minor % 100:02}"


def gives(discount_minor, gift):
    if gift:
        return "1 gift" if gift.times == 1 else f"{gift.times} gifts"
    return money(discount_minor)


def told(near):
    pieces = near.missing_pieces
    much = f"{pieces} piece{'s' * (pieces > 1)}" if pieces else money(near.missing_minor)
    return f"{much} more: {gives(near.discount_minor, near.gift)}"


@pytest.mark.parametrize(("definitions", "text", "by_line", "off", "more"), [*examples()])
def test_the_page_says_what_the_offers_give(definitions, text, by_line, off, more):
    if "gives" in definitions:
        definitions = {"offer": definitions}
    offers = [
        offer(id_, rest.pop("gives"), **rest)
        for id_, rest in ((id_, dict(body)) for id_, body in definitions.items())
    ]

    quoted = quote(cart(*lines_of(text)), GOLD, offers, {})

    applied = quoted.applied
    shares = [money(applied.by_line.get(line.line_id, 0)) for line in lines_of(text)]
    if not by_line:
        assert not applied.by_line
    else:
        assert by_line.split(", ") == shares[: len(by_line.split(", "))]
        assert {*shares[len(by_line.split(", ")) :]} <= {"0.00"}
    gift = next((each.gift for each in applied.applying if each.gift), None)
    assert off == gives(applied.discount_minor, gift)
    assert more == (told(quoted.nearest[0]) if quoted.nearest else "")


def test_the_page_has_examples_of_every_kind():
    kinds = set(re.findall(r'"kind": "(\w+)"', PAGE.read_text()))

    assert kinds == {"steps", "every", "nth_piece", "pieces_for", "gift"}
    assert len(list(examples())) > 20


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"steps": [{"spend_minor": 1}]}, "save_minor or percent"),
        ({"steps": [{"spend_minor": 1, "pieces": 1, "percent": 1}]}, "give one of them"),
        ({"steps": [{"save_minor": 1}, {"spend_minor": 5, "percent": 1}]}, "all save money"),
        (
            {"steps": [{"pieces": 1, "percent": 9}, {"pieces": 2, "percent": 5}]},
            "each must ask for more than the one before",
        ),
        ({"steps": []}, "steps"),
        ({"kind": "every", "spend_minor": 10, "save_minor": 11}, "no more than spend_minor"),
        ({"kind": "nth_piece", "n": 1}, "n"),
        ({"kind": "gift", "choices": [{"quantity": 1}]}, "product_id or a sku"),
        ({"kind": "lottery"}, "lottery"),
    ],
)
def test_an_offer_that_means_nothing_is_refused_by_what_is_wrong(body, fault):
    with pytest.raises(ValidationError, match=fault):
        Offer.model_validate({"gives": {"kind": "steps", **body}})


def test_pieces_of_one_line_cost_what_the_line_costs():
    half = offer("o", {"kind": "nth_piece", "n": 2})
    lines = [item("1", 100, 3)]  # 34, 33, 33

    assert quote(cart(*lines), ADA, [half], {}).applied.by_line == {"1": 33}


def test_a_set_that_costs_no_more_than_its_price_stays_as_it_is():
    sets = offer("o", {"kind": "pieces_for", "pieces": 2, "price_minor": 200})
    lines = [item("1", 300, 2), item("2", 200, 2)]

    assert quote(cart(*lines), ADA, [sets], {}).applied.by_line == {"1": 100}


@pytest.mark.parametrize("which", ["cheapest", "cheapest_of_set"])
def test_no_more_pieces_are_free_than_the_offer_allows(which):
    free = offer("o", {"kind": "nth_piece", "n": 2, "which": which, "times_max": 2})

    quoted = quote(cart(item("1", 800, 8)), ADA, [free], {})

    assert (quoted.applied.discount_minor, quoted.nearest) == (200, ())


def test_a_million_pieces_are_quoted_without_counting_them_out():
    offers = [
        offer("sets", {"kind": "pieces_for", "pieces": 3, "price_minor": 100}),
        offer("nth", {"kind": "nth_piece", "n": 7, "which": "cheapest_of_set"}),
    ]

    applied = quote(cart(item("1", 50 * 10**6, 10**6)), ADA, offers, {}).applied

    assert [each.discount_minor for each in applied.verdicts] == [142_857 * 50, 333_333 * 50]
