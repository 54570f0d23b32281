"""The core: whatever the order and the cutting, the same events give the same rows."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from services.profile import attributes, identity, timeline, traits
from services.profile.attributes import Attributes, stamp_of
from services.profile.identity import Link
from services.profile.orders import state_of
from services.profile.tests.shop import NOON, at, order, registered, updated, viewed
from services.profile.traits import Traits
from shared.aliases import Person

pure = examples(derandomize=True, deadline=None, max_examples=80)

CUSTOMERS = st.sampled_from(["ada", "bob"])
TYPES = ("order.placed", "order.paid", "order.delivered", "order.returned")


@st.composite
def orders(draw, revision=None):
    quantity = draw(st.integers(1, 3))
    gone = draw(st.integers(0, quantity))
    return order(
        draw(CUSTOMERS),
        draw(st.sampled_from(["o1", "o2", "o3"])),
        type_=draw(st.sampled_from(TYPES)),
        revision=revision or draw(st.integers(1, 6)),
        minutes=draw(st.integers(0, 500)),
        price=draw(st.sampled_from([0, 333, 1000])),
        quantity=quantity,
        test=draw(st.integers(0, 5)) == 0,
        currency=draw(st.sampled_from(["EUR", "EUR", "USD"])),
        base_total_minor=draw(st.sampled_from([None, 900])),
        placed_at=draw(st.sampled_from([NOON, at(1), at(2), at(3)])),
        line={"returned": gone, "refunded_minor": draw(st.sampled_from([0, 0, 400]))},
    )


@st.composite
def streams(draw):
    """Events in which no revision of an order comes with two contents."""
    made = draw(st.lists(orders(), max_size=12))
    by_revision = {(e.key, e.data.order_id, e.data.revision): e for e in made}
    views = draw(st.lists(st.builds(viewed, CUSTOMERS, st.integers(0, 500)), max_size=6))
    return draw(st.permutations([*by_revision.values(), *views]))


def run(events, cuts=()):
    """Fold the stream cut at these places, looking bounds up as the store does."""
    rows = {id_: Traits(id_) for id_ in ("ada", "bob")}
    states = {}
    for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        after = traits.fold(rows, states, events[start:end], "EUR")
        rows, states = after.traits, {**states, **after.orders}
        for id_ in after.bounds:
            mine = [o.placed_at for o in states.values() if o.customer_id == id_ and o.standing]
            bounds = (min(mine, default=None), max(mine, default=None))
            rows[id_] = replace(rows[id_], first_order_at=bounds[0], last_order_at=bounds[1])
    return rows, states


@given(streams(), st.data())
@pure
def test_any_cutting_and_any_order_give_the_same_rows(events, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    shuffled = data.draw(st.permutations(events))

    assert run(events, cuts) == run(events) == run(shuffled)


@given(streams())
@pure
def test_the_counters_are_the_sum_of_the_last_revisions(events):
    rows, states = run(events)

    for id_, row in rows.items():
        mine = [state for state in states.values() if state.customer_id == id_]
        visits = [e for e in events if e.key == id_]
        if not visits:
            continue
        told = [(e.type, 0, e.time, e.time) for e in visits]
        rebuilt = traits.rebuild(id_, mine, told)
        assert replace(row, browse={}) == replace(rebuilt, browse={})


@given(st.lists(st.integers(1, 30), unique=True, min_size=1, max_size=8), st.data())
@pure
def test_an_orders_snapshots_in_any_order_with_gaps_give_the_last_ones_state(revisions, data):
    snapshots = [replace(data.draw(orders(revision=n)), key="ada") for n in revisions]
    snapshots = [
        replace(e, data=e.data.model_copy(update={"customer_id": "ada", "order_id": "o1"}))
        for e in snapshots
    ]
    last = max(snapshots, key=lambda e: e.data.revision)

    rows, states = run(snapshots)

    assert states == {("o1", "ada"): state_of(last, "EUR")}
    alone, _ = run([last])
    seen = {"first_seen_at": None, "last_seen_at": None}
    assert replace(rows["ada"], **seen) == replace(alone["ada"], **seen)


TOLD = st.builds(
    updated,
    st.just("ada"),
    st.integers(0, 20),
    name=st.sampled_from([None, "Ada", "A."]),
    attributes=st.dictionaries(st.sampled_from(["size", "vip"]), st.sampled_from([None, "M", 3])),
)


@given(st.lists(st.one_of(TOLD, st.builds(registered)), max_size=8), st.data())
@pure
def test_attributes_do_not_depend_on_the_order_and_join_as_if_one(events, data):
    def learn(told):
        known = Attributes("ada", {}, {})
        for event in told:
            known = attributes.learn(known, event)
        return known

    whole = learn(events)
    split = data.draw(st.integers(0, len(events)))
    parts = [learn(events[:split]), learn(events[split:])]

    assert learn(data.draw(st.permutations(events))) == whole
    assert attributes.join(parts, "ada") == whole


@given(st.lists(st.datetimes(min_value=NOON.replace(tzinfo=None, year=1970)), min_size=2))
@pure
def test_stamps_sort_as_the_times_do(times):
    aware = [time.replace(tzinfo=NOON.tzinfo) for time in times]

    assert sorted(aware, key=stamp_of) == sorted(aware)


IDS = ("ada", "bob", "anon:1", "anon:2", "guest:9")
LINKS = st.builds(
    lambda member, customer, minute, n: Link(
        member, customer, "identified", NOON + timedelta(minutes=minute), "shop", f"l{n}"
    ),
    st.sampled_from(IDS),
    st.sampled_from(IDS),
    st.integers(0, 30),
    st.integers(0, 10**6),
).filter(lambda link: link.member_id != link.other_id)


def follow(links):
    """As the handler does, one link after the other; and every version that was told."""
    people = {id_: Person(id_, (id_,)) for id_ in IDS}
    homes = {}
    versions = {id_: [] for id_ in IDS}
    for link in links:
        judged = identity.judge(link, people)
        home = identity.home_by(judged, homes.get(link.member_id), people)
        if home:
            homes[home.member_id] = home
            after = identity.regroup(homes, people)
            for id_ in IDS:
                if after[id_] != people[id_]:
                    versions[id_].append(after[id_].version)
            people = after
    return people, homes, versions


def members(people):
    return {id_: (person.canonical_id, person.members) for id_, person in people.items()}


@given(st.lists(LINKS, max_size=12, unique_by=lambda link: link.id), st.data())
@pure
def test_links_in_any_order_make_the_same_people_and_never_join_customers(links, data):
    people, homes, versions = follow(links)
    others, other_homes, _ = follow(data.draw(st.permutations(links)))

    assert (members(people), homes) == (members(others), other_homes)
    for id_, person in people.items():
        assert id_ in person.members
        assert sum(not identity.is_anonymous(member) for member in person.members) <= 1
        assert versions[id_] == sorted(set(versions[id_])), "each version is above the last"


@given(st.lists(LINKS, max_size=8, unique_by=lambda link: link.id), st.data())
@pure
def test_a_merge_and_its_unmerge_leave_everyone_as_before(links, data):
    before, homes, _ = follow(links)
    roots = sorted({person.canonical_id for person in before.values()})
    if len(roots) < 2:
        return
    ours, theirs = data.draw(st.permutations(roots))[:2]

    edge, home = identity.merged(Link(theirs, ours, "merged", at(99), "us", "m"), before)
    merged = identity.regroup({**homes, edge.member_id: home}, before)
    part = Link(edge.member_id, edge.other_id, "unmerged", at(100), "us", "u")
    after = identity.regroup({**homes, part.member_id: identity.unmerged(part)}, merged)

    assert merged[ours].members == merged[theirs].members
    assert members(after) == members(before)
    changed = [id_ for id_ in IDS if merged[id_] != before[id_]]
    assert all(after[id_].version > merged[id_].version > before[id_].version for id_ in changed)


@given(st.lists(LINKS, max_size=10, unique_by=lambda link: link.id), st.integers(-5, 40))
@pure
def test_every_instant_of_a_visitor_is_exactly_one_customers(links, minute):
    links = [identity.judge(link, {i: Person(i, (i,)) for i in IDS}) for link in links]
    instant = at(minute)
    people = members(follow(links)[0])

    for visitor in ("anon:1", "anon:2", "guest:9"):
        owners = [
            canonical
            for canonical, ids in sorted(set(people.values()))
            for span in timeline.spans(ids, links)
            if span.customer_id == visitor and span.since <= instant < span.until
        ]
        own = [link for link in links if link.member_id == visitor and not link.refused]
        assert len(owners) == 1
        past = [link for link in own if link.time <= instant]
        if own:
            newest = max(past or [min(own, key=lambda k: k.order)], key=lambda k: k.order)
            assert owners == [newest.other_id]
