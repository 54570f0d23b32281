"""`python -m stack demo`, small: it ends well, says so, and leaves nothing running."""

import subprocess
import sys
from pathlib import Path

import pytest

from stack.layout import State
from stack.ports import DEFAULTS, scratch
from stack.settings import inherited_environment
from stack.tests.left import left_behind


@pytest.mark.long
def test_the_demo_ends_with_its_report_and_leaves_nothing_running(tmp_path: Path) -> None:
    State(ports=scratch(*DEFAULTS)).write(tmp_path / "demo")
    command = [sys.executable, "-m", "stack", "demo", "--customers=80", "--days=6"]
    env = inherited_environment() | {"REGULARS_STACK_DIR": str(tmp_path), "COLUMNS": "120"}

    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=600
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("One customer, in four services", "Their sum is 0: balanced", "mails arrived"):
        assert said in done.stdout
    assert left_behind(tmp_path) == []
