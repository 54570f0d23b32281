"""A merge moves nothing, applies in any order, and is undone exactly."""

from datetime import timedelta
from itertools import permutations

from shared import aliases
from shared.aliases import Person
from shared.events import codec
from shared.events.profiles import ProfileMerged, ProfileUnmerged
from shared.tests.test_batch import NOON


def merged(customer, version, *members):
    fact = ProfileMerged(
        customer_id=customer, canonical_id=members[0], members=members, version=version
    )
    return _event("profile.merged", fact)


def unmerged(customer, version, *members, removed):
    fact = ProfileUnmerged(
        customer_id=customer,
        canonical_id=members[0],
        members=members,
        removed=removed,
        version=version,
    )
    return _event("profile.unmerged", fact)


def _event(type_, fact):
    id_ = f"{fact.customer_id}/{fact.version}"
    time = NOON + timedelta(seconds=fact.version)
    return codec.make(type_, fact, id=id_, source="regulars/profile", time=time)


async def people(door, *ids):
    async with door.engine.connect() as conn:
        return await aliases.people_of(conn, ids)


async def test_only_a_higher_version_is_applied_in_whatever_order_they_come(door):
    story = [merged("a", 1, "a", "x"), merged("a", 2, "a", "x", "y"), merged("a", 3, "a", "y")]
    for order in permutations(story):
        async with door.engine.begin() as conn:
            await aliases.forget(conn, ["a"])
            for event in order:
                await aliases.apply(conn, [event])
        assert await people(door, "a") == {"a": Person("a", ("a", "y"), 3)}


async def test_the_worker_follows_merges_and_unmerges(door):
    await door.give(merged("a", 1, "a", "x"), merged("x", 1, "a", "x"))
    together = await people(door, "a", "x", "other")
    await door.give(unmerged("a", 2, "a", removed=("x",)), unmerged("x", 2, "x", removed=("x",)))

    assert together["x"] == Person("a", ("a", "x"), 1)
    assert together["other"] == Person("other", ("other",))
    assert await people(door, "a", "x") == {
        "a": Person("a", ("a",), 2),
        "x": Person("x", ("x",), 2),
    }
