"""What is logged says what happened and where, and nothing of whom."""

import json
import os
import subprocess
import sys

import pytest

from shared.logs import WITHHELD
from shared.tests.talk import PERSONAL


@pytest.fixture
def told(counting_settings):
    """`told("query")`: the lines that this case of `talk.py` logs; nothing of it is personal."""

    def told(case):
        done = subprocess.run(
            [sys.executable, "-m", "shared.tests.talk", case],
            env=os.environ | {"REGULARS_DATABASE_URL": str(counting_settings.database_url)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr == ""
        assert not [word for word in PERSONAL if word in done.stdout]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return told


@pytest.mark.parametrize(
    ("case", "exception", "sqlstate"),
    [("query", "DBAPIError", "22000"), ("constraint", "CheckViolationError", "23514")],
)
def test_an_exception_is_its_class_its_sqlstate_and_its_frames(told, case, exception, sqlstate):
    (line,) = told(case)

    assert (line["exception"], line["sqlstate"]) == (exception, sqlstate)
    assert line["frames"]


def test_a_task_that_nobody_awaits_is_named_without_what_it_held(told):
    (line,) = told("task")

    assert (line["logger"], line["phrase"], line["exception"]) == (
        "asyncio",
        WITHHELD,
        "LookupError",
    )
    assert line["frames"][-1].endswith(" greet")


def test_a_callback_that_fails_is_not_quoted_with_its_arguments(told):
    (line,) = told("callback")

    assert (line["phrase"], line["exception"]) == (WITHHELD, "LookupError")
    assert line["frames"][-1].endswith(" greet")


def test_a_librarys_phrase_is_passed_on_and_its_values_are_not(told):
    lines = told("phrases")

    assert [line["phrase"] for line in lines] == ["cannot greet %s", *[WITHHELD] * 3]
    assert all(line["place"].startswith("talk.py:") for line in lines)


def test_what_is_said_again_and_again_is_passed_on_once(told):
    assert [line["phrase"] for line in told("again")] == ["broker %s is away", WITHHELD]
