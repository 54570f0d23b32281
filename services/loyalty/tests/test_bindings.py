"""External ids: one customer each, whoever binds at the same time; never a phone or an e-mail."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.loyalty.members.bindings import ExternalId
from services.loyalty.tests.caller import Api, new_key
from services.loyalty.tests.shop import erasure, merged
from shared.keys import dev_token

BIND, UNBIND = "/v1/accounts/bind", "/v1/accounts/unbind"
OUID = {"type": "ouid", "issuer": "tmall:shop-1", "value": "AAGx-7"}
TAKEN = "urn:regulars:problem:bound-to-another"


@pytest.fixture
def api(door):
    return Api(door)


async def look_up(api, status=200, **wanted):
    return await api("GET", "/v1/accounts", status=status, **(OUID | wanted))


async def test_an_external_id_is_bound_and_looked_up(api):
    bound = await api("POST", BIND, OUID | {"customer_id": "ada"})

    assert await look_up(api) == bound
    assert (bound["customer_id"], bound["bound"]) == ("ada", True)
    assert (await api("GET", "/v1/accounts/ada/bindings"))["items"] == [bound]


async def test_the_issuer_and_the_type_are_part_of_the_identity(api):
    await api("POST", BIND, OUID | {"customer_id": "ada"})
    await api("POST", BIND, OUID | {"issuer": "tmall:shop-2", "customer_id": "bob"})

    assert (await look_up(api, issuer="tmall:shop-2"))["customer_id"] == "bob"
    await look_up(api, type="openid", status=404)
    await look_up(api, issuer="", status=404)


async def test_binding_again_changes_nothing_and_another_customer_is_a_named_conflict(api):
    first = await api("POST", BIND, OUID | {"customer_id": "ada"})

    assert await api("POST", BIND, OUID | {"customer_id": "ada"}) == first
    refused = await api("POST", BIND, OUID | {"customer_id": "bob"}, status=409)
    assert refused["type"] == TAKEN
    assert "ada" not in str(refused)
    assert await look_up(api) == first


async def test_another_id_of_the_same_person_is_no_other_customer(api, door):
    both = ("ada", "ada2")
    first = await api("POST", BIND, OUID | {"customer_id": "ada"})
    await door.give(*[merged(one, "ada", both) for one in both])

    assert await api("POST", BIND, OUID | {"customer_id": "ada2"}) == first
    assert len((await api("GET", "/v1/accounts/ada2/bindings"))["items"]) == 1
    assert not (await api("POST", UNBIND, OUID | {"customer_id": "ada2"}))["bound"]
    await look_up(api, status=404)


async def test_an_id_that_is_unbound_stands_for_nobody_and_may_be_bound_anew(api):
    await api("POST", BIND, OUID | {"customer_id": "ada"})

    for _ in range(2):
        assert not (await api("POST", UNBIND, OUID | {"customer_id": "ada"}))["bound"]
    await look_up(api, status=404)
    await api("POST", BIND, OUID | {"customer_id": "bob"})

    late = await api("POST", UNBIND, OUID | {"customer_id": "ada"}, status=409)
    assert late["type"] == TAKEN
    assert (await look_up(api))["customer_id"] == "bob"


async def test_of_many_who_bind_at_once_one_has_it(door):
    async with door.client() as http:
        answers = await asyncio.gather(
            *[
                http.post(BIND, json=OUID | {"customer_id": f"c{n}"}, headers=new_key())
                for n in range(12)
            ]
        )
        found = (await http.get("/v1/accounts", params=OUID)).json()

    won = [answer.json()["customer_id"] for answer in answers if answer.status_code == 200]
    assert won == [found["customer_id"]]
    assert {a.json()["type"] for a in answers if a.status_code != 200} == {TAKEN}


async def test_the_same_bind_many_times_at_once_has_one_effect(door):
    async with door.client() as http:
        answers = await asyncio.gather(
            *[
                http.post(BIND, json=OUID | {"customer_id": "ada"}, headers=new_key())
                for _ in range(12)
            ]
        )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["bound_at"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "phone"},
        {"type": "email"},
        {"value": "+8613800138000"},
        {"value": "13800138000"},
        {"value": "138-0013-8000"},
        {"value": "+49 (170) 123.45.67"},
        {"value": "ada@example.com"},
        {"type": "phone_hash", "value": "AAGx-7"},
        {"type": "card", "value": ""},
        {"type": "OUID"},
    ],
)
async def test_a_raw_phone_or_mail_is_refused_and_not_repeated(api, wrong):
    body = OUID | wrong | {"customer_id": "ada"}

    refused = [
        await api("POST", BIND, body, status=422),
        await look_up(api, status=422, **wrong),
    ]

    for each in refused:
        assert not wrong.get("value") or wrong["value"] not in str(each)


async def test_visitors_are_nobody_to_bind_to(api):
    for nobody in ("anon:1", "guest:o1", "13800138000"):
        await api("POST", BIND, OUID | {"customer_id": nobody}, status=422)


async def test_reads_and_changes_name_the_customer_in_the_audit(api, door):
    await api("POST", BIND, OUID | {"customer_id": "ada"})
    await look_up(api)

    await api("POST", UNBIND, OUID | {"customer_id": "ada"})

    logged = await door.query("SELECT action, subject, detail FROM audit ORDER BY action")

    kind = {"type": "ouid", "issuer": "tmall:shop-1"}
    assert [tuple(row) for row in logged] == [
        ("GET /v1/accounts", "ada", {}),
        ("POST /v1/accounts/bind", "ada", kind),
        ("POST /v1/accounts/unbind", "ada", kind | {"was_bound": True}),
    ]


async def test_a_storefront_neither_looks_up_nor_binds(api, tmp_path):
    token = dev_token("ada", tmp_path)

    await api("GET", "/v1/accounts", token=token, status=403, **OUID)
    await api("POST", BIND, OUID | {"customer_id": "ada"}, token=token, status=403)


async def test_the_erased_are_found_by_no_external_id(api, door):
    await api("POST", BIND, OUID | {"customer_id": "ada"})
    await api("POST", BIND, OUID | {"value": "other", "customer_id": "bob"})

    await door.give(erasure("ada"))

    await look_up(api, status=404)
    assert (await look_up(api, value="other"))["customer_id"] == "bob"


@given(st.text(max_size=40), st.text(max_size=12), st.text(max_size=40))
def test_whatever_is_sent_is_an_external_id_or_refused(type_, issuer, value):
    try:
        found = ExternalId(type=type_, issuer=issuer, value=value)
    except ValidationError:
        return
    assert "@" not in found.value
    assert not found.value.startswith("+")


@given(st.sampled_from("3456789"), st.text("0123456789", min_size=9, max_size=9))
def test_no_form_of_a_chinese_mobile_is_a_value(second, rest):
    digits = f"1{second}{rest}"
    for form in (
        digits,
        f"+86{digits}",
        f"+86 {digits}",
        f"{digits[:3]}-{digits[3:7]} {digits[7:]}",
    ):
        with pytest.raises(ValidationError):
            ExternalId(type="ouid", value=form)
