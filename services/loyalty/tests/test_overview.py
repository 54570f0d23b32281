"""A member's page in one call, in his own language, and of nobody else."""

import pytest

from services.loyalty.members.phrases import language_of, tell
from services.loyalty.tests.shop import Order
from shared.keys import dev_token


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("fr, de;q=0.5, en;q=0.7", "en"),
        ("fr;q=1, de;q=0.5", "de"),
        ("xx;q=nonsense", "en"),
    ],
)
def test_the_first_language_that_is_known_is_spoken(accepted, language):
    assert language_of(accepted) == language
    assert tell("earn", language)


def test_a_kind_without_a_phrase_keeps_its_name():
    assert tell("something", "zh") == "something"


async def test_a_page_needs_one_call(door, tmp_path):
    await door.give(*Order().life())
    async with door.client() as http:
        plan = {"tiers": [{"code": "basic", "threshold": 0}], "starts_at": "2000-01-01T00:00:00Z"}
        reward = {"kind": "gift", "product_id": "mug", "points": 5}
        for path, body in (("tier-plans/default", plan), ("rewards/mug", reward)):
            answer = await http.put(f"/v1/{path}", json=body, headers={"Idempotency-Key": path})
            assert answer.status_code == 200, answer.text
        own = {"Authorization": f"Bearer {dev_token('ada', tmp_path)}", "Accept-Language": "zh"}

        page = (await http.get("/v1/accounts/ada/overview", headers=own)).json()
        nobody = (await http.get("/v1/accounts/nobody/overview")).json()
        other = await http.get("/v1/accounts/bob/overview", headers=own)

    assert (page["account"]["active"], page["tier"]["tier"]) == (10, "basic")
    assert [(e["kind"], e["text"]) for e in page["entries"]] == [
        ("activate", "积分已可使用"),
        ("earn", "获得积分"),
    ]
    assert [item["reward_id"] for item in page["rewards"]["items"]] == ["mug"]
    assert (nobody["account"], nobody["entries"]) == (None, [])
    assert other.status_code == 404
