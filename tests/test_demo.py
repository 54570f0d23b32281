"""`python -m stack demo`, small: it shows what it promises, says so, and leaves nothing running."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stack.layout import State
from stack.ports import DEFAULTS, scratch
from stack.settings import inherited_environment
from stack.tests.left import left_behind

CARD = r"Card of (\S+): \w+, [\d,]+\.\d\d counted.*?; \d+ points, the next expire \d{4}-"
EXPLAINED = r"Order \S+ earned [1-9]\d* points: spend [1-9]\d*, "
REDEEMED = (
    r"Order demo-\d+ of £48\.00: 100 points for £1\.00 of it, confirmed by order\.paid itself;"
    r" one of two mugs came back, and with it 50 points to their own lots\."
)
CLOSED = r"\d{4}-\d\d is closed, by two keys, in points: "
BOUGHT = r"had \d+ points, too few to show how they are redeemed, and bought for £"


def lived(tmp_path: Path, *size: str) -> str:
    """What a demo of this size says, in one line; it must end well and leave nothing running."""
    State(ports=scratch(*DEFAULTS)).write(tmp_path / "demo")
    command = [sys.executable, "-m", "stack", "demo", *size]
    env = inherited_environment() | {"REGULARS_STACK_DIR": str(tmp_path), "COLUMNS": "120"}

    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=600
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert left_behind(tmp_path) == []
    return " ".join(done.stdout.split())


@pytest.mark.long
def test_the_demo_ends_with_its_report_and_leaves_nothing_running(tmp_path: Path) -> None:
    told = lived(tmp_path, "--customers=80", "--days=6")

    for said in ("One customer, in four services", "Their sum is 0: balanced", "mails arrived"):
        assert said in told
    for shown in (CARD, EXPLAINED, REDEEMED, CLOSED):
        assert re.search(shown, told), f"{shown} in {told}"


@pytest.mark.long
def test_where_nobody_has_points_somebody_buys_and_the_demo_shows_the_same(tmp_path: Path) -> None:
    told = lived(tmp_path, "--customers=20", "--days=3")

    for shown in (BOUGHT, CARD, EXPLAINED, REDEEMED, CLOSED):
        assert re.search(shown, told), f"{shown} in {told}"
