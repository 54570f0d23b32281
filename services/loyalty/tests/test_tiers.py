"""Tiers as pure functions: what is reached, kept, lost, and when."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.loyalty.levels.dossier import Holding, pool
from services.loyalty.levels.progress import progress, tier_at
from services.loyalty.levels.standing import Grant, Person, Standing, advance, count
from services.loyalty.levels.tiers import Bucket, Plans, Tier, TierPlan, plans_of
from services.loyalty.terms.definitions import Book, Version
from shared.stores import Store, Stores

SHANGHAI = ZoneInfo("Asia/Shanghai")
RANKS = (("basic", 0), ("silver", 100), ("gold", 500), ("black", 2_000))
DAY = timedelta(1)


def plan(**more):
    ranks = [Tier(code=code, threshold=threshold) for code, threshold in RANKS]
    return TierPlan(tiers=ranks, **more)


def plans(zone=SHANGHAI, since=date(2000, 1, 1), **more):
    return Plans((since,), (plan(**more),), zone)


def at(text):
    """A moment on the wall clocks of Shanghai."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def buy(rules, person, text, amount, day=None):
    """An order, or a return of one placed on `day`; the person, and the moves as told."""
    moment = at(text)
    day = date.fromisoformat(day) if day else rules.day_of(moment)
    return count(rules, person, day, Bucket(amount, 1 if amount > 0 else -1, amount), moment)


def lived(rules, *steps):
    """The person after these (time, amount[, day]), and all that he was told."""
    person, told = Person(), []
    for step in steps:
        person, moves = buy(rules, person, *step)
        told += moves
    return person, [(move.direction, move.tier, move.why) for move in told]


def tier_on(rules, person, text):
    return advance(rules, person, at(text), "order")[0].standing.tier


def test_a_tier_is_reached_by_the_event_that_brings_the_counter_to_the_threshold():
    person, told = lived(plans(), ("2026-03-01T10:00", 99), ("2026-03-02T10:00", 1))

    assert told == [("up", "basic", "reached"), ("up", "silver", "reached")]
    assert person.standing.since == at("2026-03-02T10:00")
    assert person.standing.valid_until == at("2027-01-01T00:00")


def test_the_first_tier_has_no_minimum():
    person, [move] = buy(plans(), Person(), "2026-03-01T10:00", 0)

    assert (move.before, move.tier, person.standing.valid_until) == ("", "basic", None)


@pytest.mark.parametrize(
    ("downgrade", "grace_days", "expected"),
    [
        ("to_reached", 0, {"2027-01-01T00:00": "basic"}),
        ("one_down", 0, {"2027-01-01T00:00": "silver", "2028-01-01T00:00": "basic"}),
        ("none", 0, {"2030-01-01T00:00": "gold"}),
        (
            "one_down",
            30,
            {
                "2027-01-30T23:59:59.999": "gold",
                "2027-01-31T00:00": "silver",
                "2028-01-30T23:59": "silver",
                "2028-01-31T00:00": "basic",
            },
        ),
    ],
)
def test_a_tier_is_kept_until_the_end_of_the_year_after_and_its_grace(
    downgrade, grace_days, expected
):
    rules = plans(downgrade=downgrade, grace_days=grace_days)
    person, _ = lived(rules, ("2025-03-01T10:00", 500))

    assert tier_on(rules, person, "2026-12-31T23:59:59.999") == "gold"
    assert {text: tier_on(rules, person, text) for text in expected} == expected


def test_the_last_millisecond_of_a_year_counts_for_it_in_the_stores_zone():
    rules = plans()
    last, _ = lived(rules, ("2026-12-31T23:59:59.999", 500))
    first, _ = lived(rules, ("2027-01-01T00:00", 500))

    assert tier_on(rules, last, "2028-01-01T00:00") == "basic"
    assert tier_on(rules, first, "2028-01-01T00:00") == "gold"
    assert at("2027-01-01T00:00").astimezone(UTC).year == 2026


def test_a_rolling_tier_holds_so_many_days_from_when_it_was_reached_or_renewed():
    rules = plans(window="rolling", window_days=30)
    person, _ = lived(rules, ("2026-03-01T10:00", 300), ("2026-03-20T10:00", 200))

    assert person.standing.valid_until == at("2026-04-19T00:00")
    assert tier_on(rules, person, "2026-04-18T23:59") == "gold"
    assert tier_on(rules, person, "2026-04-19T00:00") == "silver", "200 in the last 30 days"
    bought, _ = buy(rules, person, "2026-04-10T10:00", 300)
    kept = advance(rules, bought, at("2026-04-19T00:00"), "order")[0]
    assert kept.standing.valid_until == at("2026-05-19T00:00")


def test_a_leap_days_anniversary_is_the_first_of_march():
    rules = plans(window="anniversary")
    person, _ = lived(rules, ("2024-02-29T10:00", 500))

    assert person.standing.valid_until == at("2025-03-01T00:00")
    renewed, _ = buy(rules, person, "2025-02-28T23:59", 0)
    assert tier_on(rules, renewed, "2026-02-28T23:59") == "gold"
    assert tier_on(rules, renewed, "2026-03-01T00:00") == "basic"


@pytest.mark.parametrize("on_return", ["recheck", "keep"])
def test_a_return_takes_from_the_day_of_its_order(on_return):
    rules = plans(on_return=on_return)
    person, told = lived(
        rules,
        ("2026-03-01T10:00", 500),
        ("2026-04-01T10:00", -1, "2026-03-01"),
    )

    expected = (
        ("silver", [("down", "silver", "return")]) if on_return == "recheck" else ("gold", [])
    )
    assert (person.standing.tier, told[1:]) == expected
    assert progress(rules, person, at("2026-04-01T10:00")).counter == 499
    assert tier_on(rules, person, "2027-01-01T00:00") == "silver", "499 were kept in 2026"


def test_a_return_after_the_years_end_takes_back_what_the_year_had_given():
    rules = plans()
    person, told = lived(rules, ("2026-12-30T10:00", 500), ("2027-01-05T10:00", -500, "2026-12-30"))

    assert told[1:] == [("renewed", "gold", "period_end"), ("down", "basic", "return")]
    assert person.days.buckets[date(2026, 12, 30)] == Bucket()


def test_an_order_heard_of_late_counts_for_its_own_day():
    rules = plans()
    person, told = lived(
        rules,
        ("2026-12-30T10:00", 100),
        ("2027-02-01T10:00", 50),
        ("2027-02-02T10:00", 400, "2026-12-31"),
    )

    assert told[-1] == ("up", "gold", "reached")
    assert person.standing.valid_until == at("2028-01-01T00:00")


def test_what_is_due_comes_before_the_event_that_finds_it_due():
    rules = plans()
    _, told = lived(rules, ("2025-03-01T10:00", 500), ("2027-06-01T10:00", 100))

    assert told[1:] == [
        ("renewed", "gold", "period_end"),
        ("down", "basic", "period_end"),
        ("up", "silver", "reached"),
    ]


@pytest.mark.parametrize("counter", ["spend_minor", "orders", "points"])
def test_the_counter_is_the_plans(counter):
    rules = plans(counter=counter)
    thing = {"spend_minor": Bucket(500), "orders": Bucket(0, 500), "points": Bucket(0, 0, 500)}
    person, _ = count(rules, Person(), date(2026, 3, 1), thing[counter], at("2026-03-01T10:00"))

    assert person.standing.tier == "gold"


def test_the_highest_active_source_counts_and_each_ends_by_itself():
    rules = plans()
    grant = Grant("g", "manual", "black", at("2026-05-01T00:00"), at("2026-06-01T00:00"))
    person, _ = buy(rules, Person(grants=(grant,)), "2026-03-01T10:00", 500)

    told = [tier_on(rules, person, f"2026-0{month}-01T00:00") for month in (4, 5, 6)]

    assert told == ["gold", "black", "gold"]
    card = progress(rules, person, at("2026-05-02T00:00"))
    assert [(rank.source, rank.tier) for rank in card.sources] == [
        ("manual", "black"),
        ("earned", "gold"),
    ]
    assert (card.to_next, card.to_stay.missing, card.projected) == (None, 1_500, "gold")


def test_a_card_tells_what_is_missing_to_rise_and_to_stay():
    rules = plans(downgrade="one_down")
    person, _ = lived(rules, ("2026-03-01T10:00", 500), ("2027-03-01T10:00", 120))

    card = progress(rules, person, at("2027-03-02T10:00"))

    assert (card.tier.code, card.counter, card.projected) == ("gold", 120, "silver")
    assert (card.to_next.tier, card.to_next.missing) == ("black", 1_880)
    assert (card.to_stay.missing, card.to_stay.by) == (380, at("2028-01-01T00:00"))


def test_what_two_ids_bought_counts_together_and_apart_again():
    rules, moment = plans(), at("2026-03-02T10:00")
    people = [buy(rules, Person(), "2026-03-01T10:00", 300)[0] for _ in range(2)]
    holdings = [
        Holding(f"c{n}", None, None, date(2026, 3, 1), one.days.buckets, (), one.standing, 0)
        for n, one in enumerate(people)
    ]

    both, [up] = advance(rules, pool(tuple(holdings), 1), moment, "merged")
    parted = replace(holdings[0], standing=both.standing, of_version=1)
    _, [down] = advance(rules, pool((parted,), 2), moment, "unmerged")

    assert (up.tier, up.why, down.tier, down.why) == ("gold", "reached", "silver", "unmerged")
    assert down.version > up.version


def test_what_was_not_foreseen_is_made_anew_by_whoever_asks_next():
    rules = plans()
    person, _ = lived(rules, ("2026-03-01T10:00", 500))
    unforeseen = replace(person, whole=False)

    back, moves = buy(rules, unforeseen, "2026-04-01T10:00", -500, "2026-03-01")
    anew, told = advance(rules, replace(back, whole=True), at("2026-04-02T10:00"), "order")

    assert (back.standing.earned, moves) == (None, [])
    assert (anew.standing.tier, [move.direction for move in told]) == ("basic", ["down"])


def test_a_new_version_moves_nobody_down_before_his_period_ends():
    dearer = plan().model_copy(
        update={"tiers": (*plan().tiers[:2], Tier(code="gold", threshold=900))}
    )
    rules = Plans((date(2026, 1, 1), date(2026, 6, 1)), (plan(), dearer), SHANGHAI)
    person, _ = lived(rules, ("2026-03-01T10:00", 500), ("2026-07-01T10:00", 10))

    assert person.standing.tier == "gold"
    assert tier_on(rules, person, "2027-01-01T00:00") == "silver"
    assert tier_at(rules, person, at("2026-02-28T00:00")).code == "basic"


def test_a_plan_counts_from_the_day_it_starts_and_what_was_bought_before_counts():
    book = Book([("TierPlan", Version("default", 1, at("2026-05-01T12:00"), plan()))])
    rules = plans_of(book, Stores("EUR", {"cn": Store(id="cn", zone="Asia/Shanghai")}))
    person, told = lived(rules, ("2026-04-30T10:00", 500))

    assert (told, person.standing.tier) == ([], "")
    assert tier_on(rules, person, "2026-05-01T00:00") == "gold"
    assert plans_of(Book(), Stores()).on(date(2026, 5, 1)) is None


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"tiers": [Tier(code="a", threshold=1)]}, "threshold 0"),
        ({"tiers": [Tier(code=c, threshold=0) for c in "ab"]}, "ascending"),
        ({"tiers": [Tier(code="a", threshold=n) for n in (0, 1)]}, "same code"),
        ({"window": "rolling", "window_days": 30, "grace_days": 30}, "grace_days"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(more, fault):
    with pytest.raises(ValidationError, match=fault):
        TierPlan(**{"tiers": plan().tiers} | more)


WINDOWS = ("calendar_year", "rolling", "anniversary", "lifetime")
LAWS = st.builds(
    plans,
    zone=st.sampled_from([SHANGHAI, ZoneInfo("America/New_York"), ZoneInfo("Africa/Cairo")]),
    window=st.sampled_from(WINDOWS),
    window_days=st.sampled_from([30, 90, 365]),
    downgrade=st.sampled_from(["to_reached", "one_down", "none"]),
    grace_days=st.sampled_from([0, 10, 29]),
)
# An order, or the return of a part of an earlier one; hours between.
STEPS = st.lists(
    st.tuples(st.integers(0, 24 * 200), st.integers(0, 700), st.integers(0, 9)), max_size=12
)


def walk(rules, steps):
    """Each event's person and moves; a step with a small third number returns an earlier one."""
    person, moment = Person(), datetime(2024, 2, 28, 22, tzinfo=UTC)
    for hours, wanted, choice in steps:
        moment += timedelta(hours=hours)
        days = [day for day, bucket in person.days.buckets.items() if bucket.spend_minor]
        if choice < 3 and days:
            day = days[choice % len(days)]
            amount = -min(wanted, person.days.buckets[day].spend_minor)
        else:
            amount, day = wanted, rules.day_of(moment) - DAY * (choice > 7)
        before = person
        person, moves = count(rules, person, day, Bucket(amount), moment)
        yield before, person, moves, amount, moment


@given(LAWS, STEPS)
def test_a_standing_brought_forward_is_the_one_made_anew(rules, steps):
    for _, person, _, _, moment in walk(rules, steps):
        anew, _ = advance(rules, replace(person, standing=Standing()), moment, "order")
        told, again = person.standing, anew.standing
        assert (told.tier, told.valid_until) == (again.tier, again.valid_until)
        later = moment + timedelta(days=700)
        one, two = (advance(rules, each, later, "order")[0] for each in (person, anew))
        assert one.standing.tier == two.standing.tier


@given(LAWS, STEPS)
def test_nobody_falls_before_the_end_of_his_period_and_grace_but_by_a_return(rules, steps):
    for before, _, moves, amount, _ in walk(rules, steps):
        valid_until = before.standing.valid_until
        for move in moves:
            if move.direction == "down" and amount >= 0:
                assert move.due
                assert valid_until is not None
                assert move.at >= valid_until
            valid_until = move.valid_until


@given(LAWS, STEPS)
def test_a_soft_landing_is_one_down_at_most(rules, steps):
    landings = [
        move
        for _, _, moves, _, _ in walk(rules, steps)
        for move in moves
        if move.due and move.direction == "down" and rules.plans[0].downgrade == "one_down"
    ]
    level = rules.plans[0].level
    assert all(level(move.before) - level(move.tier) == 1 for move in landings)


@given(LAWS, STEPS)
def test_a_full_return_leaves_what_a_life_without_the_order_would_have(rules, steps):
    *_, person = [Person(), *(each[1] for each in walk(rules, steps))]
    moment = datetime(2034, 1, 1, tzinfo=UTC)
    day = rules.day_of(moment)
    without, _ = advance(rules, person, moment, "order")

    bought, _ = count(rules, person, day, Bucket(2_000), moment)
    back, _ = count(rules, bought, day, Bucket(-2_000), moment + timedelta(hours=1))

    assert bought.standing.tier == "black"
    assert back.standing.tier == without.standing.tier


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.sampled_from(WINDOWS))  # noqa: DTZ001
def test_every_moment_is_in_one_business_day(moment, window):
    for name in ("Africa/Cairo", "America/Havana", "America/Sao_Paulo", "Asia/Shanghai"):
        rules = plans(ZoneInfo(name), window=window)
        day = rules.day_of(moment.replace(tzinfo=UTC))
        assert rules.midnight(day) <= moment.replace(tzinfo=UTC) < rules.midnight(day + DAY)
        assert rules.day_of(rules.midnight(day)) == day
