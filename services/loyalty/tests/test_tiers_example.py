"""docs/tiers.md says what the code does: its example is lived, day by day."""

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from services.loyalty.levels.progress import progress
from services.loyalty.levels.standing import Person, count
from services.loyalty.levels.tiers import Bucket, Plans, TierPlan

PAGE = (Path(__file__).parents[3] / "docs" / "tiers.md").read_text()
SHANGHAI = ZoneInfo("Asia/Shanghai")
RULES = Plans(
    (date(2020, 1, 1),),
    (TierPlan.model_validate(json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])),),
    SHANGHAI,
)
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| \d{4}-.*$", PAGE, re.MULTILINE)
]


def minor(text):
    units, _, cents = text.partition(".")
    return int(units + cents)


def money(amount_minor):
    return f"{amount_minor // 100}.{amount_minor % 100:02}"


def change_of(day, what):
    """The day that counts and what is added to it, as the table's words say."""
    if found := re.fullmatch(r"orders for ([\d.]+)", what):
        return day, Bucket(minor(found[1]), 1)
    found = re.fullmatch(r"returns ([\d.]+) of ([\d-]+)", what)
    return date.fromisoformat(found[2]), Bucket(-minor(found[1]))


def told(card):
    """A card in the words of the table."""
    until = card.valid_until and card.valid_until.astimezone(SHANGHAI)
    assert not until or until == datetime(until.year, until.month, until.day, tzinfo=SHANGHAI)
    return [
        money(card.counter),
        card.tier.code,
        f"{until:%Y-%m-%d}" if until else "",
        money(card.to_next.missing) if card.to_next else "",
        money(card.to_stay.missing) if card.to_stay else "",
    ]


def test_the_example_is_what_happens():
    person, lived = Person(), []
    for text, what, *_ in ROWS:
        day = date.fromisoformat(text)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=SHANGHAI)
        if what != "nothing":
            person, _ = count(RULES, person, *change_of(day, what), noon)
        card = progress(RULES, person, noon + timedelta(hours=8))
        lived.append([text, what, *told(card)])

    assert len(ROWS) > 8
    assert lived == ROWS
