"""Several ids, one person: with real rows, by events and by decisions."""

from uuid import uuid4

import pytest

from services.profile.tests.shop import (
    come_round,
    event,
    identified,
    order,
    profile,
    registered,
    updated,
    viewed,
)
from shared.events.profiles import ProfileMerged, ProfileUnmerged


async def post(door, path, **body):
    async with door.client() as http:
        return await http.post(
            f"/v1/profiles/{path}", json=body, headers={"Idempotency-Key": str(uuid4())}
        )


async def get(door, path):
    async with door.client() as http:
        return (await http.get(f"/v1/profiles/{path}")).json()


def facts(told):
    return [(e.key, e.data.canonical_id, e.data.members, e.data.version) for e in told]


@pytest.mark.parametrize("merge_first", [True, False])
async def test_a_merge_before_or_after_its_data_is_the_same_person(door, merge_first):
    data = [viewed("anon:1"), registered("ada", 1, name="Ada"), order("ada", minutes=2)]
    merge = [identified("anon:1", "ada", 5)]

    for batch in (merge, data) if merge_first else (data, merge):
        await door.give(*batch)

    for id_ in ("ada", "anon:1"):
        person = await profile(door, id_)
        assert (person["canonical_id"], person["members"]) == ("ada", ["ada", "anon:1"])
        assert (person["browse"], person["orders"]) == ({"product.viewed": 1}, 1)
        assert person["attributes"]["name"] == "Ada"


async def test_a_merge_is_told_once_under_each_members_key(door):
    await door.give(identified("anon:1"), identified("anon:2", minutes=1))

    told = await come_round(door)

    pair, three = ("ada", "anon:1"), ("ada", "anon:1", "anon:2")
    assert all(isinstance(e.data, ProfileMerged) for e in told)
    assert facts(told) == [
        ("ada", "ada", pair, 1),
        ("anon:1", "ada", pair, 1),
        *[(id_, "ada", three, 2) for id_ in three],
    ]


async def test_the_same_link_again_tells_nothing_new(door):
    await door.give(identified("anon:1"))
    await come_round(door)

    await door.give(identified("anon:1", minutes=9))

    assert await come_round(door) == []
    journal = (await get(door, "ada/identity"))["journal"]
    assert [link["in_force"] for link in journal] == [False, True]


async def test_two_customers_are_never_joined_by_themselves(door):
    await door.give(registered("ada"), registered("bob"))

    await door.give(identified("bob", "ada"))

    assert (await profile(door))["members"] == ["ada"]
    assert await door.published() == []
    [link] = (await get(door, "bob/identity"))["journal"]
    assert (link["refused"], link["in_force"]) == (True, False)


@pytest.mark.parametrize("late", [False, True])
async def test_a_shared_device_is_the_first_customers_by_event_time(door, late):
    first, second = identified("anon:1", "ada", 0), identified("anon:1", "bob", 60)
    batches = [second, first] if late else [first, second]

    await door.give_singly(*batches)

    assert (await profile(door, "anon:1"))["canonical_id"] == "ada"
    assert (await profile(door, "bob"))["members"] == ["bob"]
    told = await come_round(door)
    if late:  # bob had it for a while, and is told that he has it no more
        unmerged = [e for e in told if isinstance(e.data, ProfileUnmerged)]
        assert [(e.key, e.data.canonical_id, e.data.removed) for e in unmerged] == [
            ("anon:1", "ada", ("anon:1",)),
            ("bob", "bob", ("anon:1",)),
        ]
    for id_ in ("ada", "bob", "anon:1"):
        versions = [e.data.version for e in told if e.key == id_]
        assert versions == sorted(set(versions)), "grows for each id"


async def test_each_customer_of_a_shared_device_sees_his_own_hours(door):
    await door.give(*[viewed("anon:1", minutes, str(minutes)) for minutes in (0, 20, 40, 60)])
    await door.give(identified("anon:1", "ada", 10), identified("anon:1", "bob", 30))
    await door.give(identified("anon:1", "ada", 50))

    async def seen(id_):
        items = (await get(door, f"{id_}/timeline"))["items"]
        return [i["summary"]["product_id"] for i in items if i["type"] == "product.viewed"]

    assert await seen("ada") == ["60", "20", "0"]
    assert await seen("bob") == ["40"]


async def test_a_person_merges_two_customers_and_parts_them_exactly(door):
    await door.give(order("ada"), order("bob", "o2", price=500), viewed("anon:2"))
    await door.give(identified("anon:1", "ada"), identified("anon:2", "bob"))
    await come_round(door)
    before = {id_: await profile(door, id_) for id_ in ("ada", "bob", "anon:1", "anon:2")}

    merged = await post(door, "ada/merge", other_id="anon:2")

    everyone = ["ada", "anon:1", "anon:2", "bob"]
    assert merged.json() == {"canonical_id": "ada", "members": everyone, "version": 2}
    assert (await profile(door, "anon:2"))["spend_minor"] == 3000
    assert sorted(e.key for e in await come_round(door)) == everyone

    parted = await post(door, "anon:1/unmerge", member_id="bob")

    assert parted.json() == {"canonical_id": "ada", "members": ["ada", "anon:1"], "version": 3}
    told = await come_round(door)
    assert [(e.key, e.data.members, e.data.removed) for e in told] == [
        ("ada", ("ada", "anon:1"), ("anon:2", "bob")),
        ("anon:1", ("ada", "anon:1"), ("anon:2", "bob")),
        ("anon:2", ("anon:2", "bob"), ("anon:2", "bob")),
        ("bob", ("anon:2", "bob"), ("anon:2", "bob")),
    ]
    assert {id_: await profile(door, id_) for id_ in before} == before


async def test_what_a_person_parted_no_login_joins_again(door):
    await door.give(identified("anon:1", "ada"))
    await post(door, "ada/unmerge", member_id="anon:1")

    await door.give(identified("anon:1", "ada", 9))

    assert (await profile(door))["members"] == ["ada"]
    await post(door, "ada/merge", other_id="anon:1")
    assert (await profile(door))["members"] == ["ada", "anon:1"]


async def test_a_parted_ids_hours_are_its_own(door):
    await door.give(viewed("anon:1", 5), identified("anon:1", "ada"))
    await post(door, "ada/unmerge", member_id="anon:1")

    assert [i["type"] for i in (await get(door, "ada/timeline"))["items"]] == [
        "customer.identified"
    ]
    assert [i["type"] for i in (await get(door, "anon:1/timeline"))["items"]] == ["product.viewed"]


@pytest.mark.parametrize(
    ("path", "body", "status", "problem"),
    [
        ("ada/merge", {"other_id": "ada"}, 422, "unprocessable"),
        ("ada/merge", {"other_id": "nobody"}, 404, "not-found"),
        ("ada/merge", {"other": "bob"}, 422, None),
        ("ada/unmerge", {"member_id": "bob"}, 409, "not-one-person"),
        ("anon:1/unmerge", {"member_id": "ada"}, 409, "canonical-id"),
    ],
)
async def test_a_decision_that_makes_no_sense_is_refused(door, path, body, status, problem):
    await door.give(registered("ada"), registered("bob"), identified("anon:1", "ada"))
    await door.published()

    answer = await post(door, path, **body)

    assert answer.status_code == status
    if problem:
        assert answer.json()["type"] == f"urn:regulars:problem:{problem}"
    assert await door.published() == []


async def test_a_merge_has_one_effect_for_one_key(door):
    await door.give(registered("ada"), registered("bob"))
    key = {"Idempotency-Key": "one"}

    async with door.client() as http:
        first = await http.post("/v1/profiles/ada/merge", json={"other_id": "bob"}, headers=key)
        again = await http.post("/v1/profiles/ada/merge", json={"other_id": "bob"}, headers=key)

    assert first.json() == again.json()
    assert len(await door.published()) == 2


async def test_a_merged_persons_attributes_are_the_newest_of_all_members(door):
    await door.give(updated("ada", 0, name="Ada", city="Leeds"), updated("bob", 5, name="A. L."))
    await door.give(updated("bob", 1, city=None))
    await post(door, "ada/merge", other_id="bob")

    assert (await profile(door))["attributes"] == {"name": "A. L."}


async def test_a_rebuild_that_lost_the_link_keeps_the_published_person(door):
    fact = ProfileMerged(
        customer_id="ada", canonical_id="ada", members=("ada", "anon:1"), version=4
    )
    copies = [fact, fact.model_copy(update={"customer_id": "anon:1"})]
    await door.give(*[event("profile.merged", copy, 0) for copy in copies])

    await door.give(identified("anon:2", "ada", 9), identified("anon:1", "bob", 9))

    assert (await profile(door))["members"] == ["ada", "anon:1", "anon:2"]
    assert (await profile(door, "bob"))["members"] == ["bob"]


async def test_a_restored_database_follows_the_decision_that_was_published(door):
    await door.give(identified("anon:1"), identified("anon:2"))
    await come_round(door)
    fact = ProfileUnmerged(
        customer_id="ada", canonical_id="ada", members=("ada",), removed=("anon:1",), version=9
    )
    parted = {"customer_id": "anon:1", "canonical_id": "anon:1", "members": ("anon:1",)}
    copies = [
        fact.model_copy(update={"members": ("ada", "anon:2")}),
        fact.model_copy(update={"customer_id": "anon:2", "members": ("ada", "anon:2")}),
        fact.model_copy(update=parted),
    ]
    await door.give(*[event("profile.unmerged", copy, 5) for copy in copies])

    await door.give(identified("anon:1", minutes=7), identified("anon:3", minutes=7))

    assert (await profile(door))["members"] == ["ada", "anon:2", "anon:3"]


async def test_many_logins_in_one_batch_end_as_one_by_one(door):
    links = [identified(f"anon:{n % 7}", f"c{n % 5}", (n * 37) % 60) for n in range(40)]

    await door.give(*links)

    rows = await door.query("SELECT customer_id, canonical_id, members FROM alias")
    first = {}
    for link in sorted(links, key=lambda link: link.order):
        first.setdefault(link.data.anonymous_id, link.key)
    for row in rows:
        expected = first.get(row.customer_id, row.customer_id)
        assert row.canonical_id == expected
        own = {a for a, c in first.items() if c == expected}
        assert set(row.members) == own | {expected}
