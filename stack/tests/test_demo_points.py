"""What the demo cannot show, it says; and it fails."""

from pathlib import Path

import pytest

from stack import demo_points
from stack.door import Door
from stack.ports import scratch

PARTS = ("enough points to redeem", "card", "explained order", "redemption", "closed month")


def test_a_part_that_cannot_be_shown_is_named_and_the_demo_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody_listens = f"http://127.0.0.1:{scratch('loyalty')['loyalty']}"

    with Door({"LOYALTY_URL": nobody_listens, "ADMIN_KEY": "none"}) as door:
        good = demo_points.show(door, "c-1", tmp_path)

    told = " ".join(capsys.readouterr().out.split())
    assert not good
    assert [part for part in PARTS if f"WRONG: no {part}: " not in told] == []
