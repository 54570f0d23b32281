"""Closes months as finance does: one key prepares the statement, another approves it.

What is closed stays closed, so a command that is run again goes on after the last closed month.
"""

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

from shared.keys import new_key
from stack.door import Door
from stack.errors import StackError
from stack.layout import write_private

SEAL_TIMEOUT_S = 60.0
KEYS_READ_S = 1.5  # the services look at their keys once a second
NOTE = "the second signature"


def close(door: Door, home: Path, month: str) -> dict[str, Any]:
    """The month's statement: prepared by the admin key, approved by a second one."""
    draft = _prepare(door, month)
    if draft is None:
        raise StackError(f"{month} is not over")
    _approve(door, month, draft, second_key(home))
    return get_statement(door, month)


def close_all(door: Door, home: Path, first: str) -> None:
    """Close the months that are over: from `first` on, or from where it was left."""
    newest = door.get("loyalty", "/v1/closings", limit=1)["items"]
    month = month_after(newest[0]["month"]) if newest else first
    approver = ""
    while (draft := _prepare(door, month)) is not None:
        approver = approver or second_key(home)
        _approve(door, month, draft, approver)
        month = month_after(month)


def get_statements(door: Door) -> list[dict[str, Any]]:
    """Of all closed months, the earliest first."""
    months: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = door.get("loyalty", "/v1/closings", cursor=cursor)
        months += [each["month"] for each in page["items"]]
        cursor = page["next"]
    return [get_statement(door, month) for month in reversed(months)]


def get_statement(door: Door, month: str) -> dict[str, Any]:
    """Of a closed month."""
    found = door.get("loyalty", "/v1/closings/{}", month)
    if found is None:
        raise StackError(f"{month} is not closed")
    statement: dict[str, Any] = found["statement"]
    return statement


def month_after(month: str) -> str:
    """The one that follows, as 2026-10."""
    first = date.fromisoformat(f"{month}-01")
    return f"{first.year + first.month // 12}-{first.month % 12 + 1:02}"


def second_key(home: Path) -> str:
    """A second person's, in the place of the one that was made before."""
    token, line = new_key(["loyalty:admin"], note=NOTE)
    file = home / "keys.json"
    keys = json.loads(file.read_text())
    kept = [each for each in keys["keys"] if each.get("note") != NOTE]
    keys["keys"] = [*kept, line.model_dump(mode="json", exclude_none=True)]
    write_private(file, json.dumps(keys, indent=1))
    time.sleep(KEYS_READ_S)
    return token


def _prepare(door: Door, month: str) -> int | None:
    """The draft's number; None: the month is not over."""
    key = f"prepare-{time.time_ns()}"
    try:
        drawn = door.send("POST", "loyalty", "/v1/closings", {"month": month}, key=key)
    except StackError as error:
        if "month-not-over" in str(error):
            return None
        raise
    return int(drawn["draft"])


def _approve(door: Door, month: str, draft: int, approver: str) -> None:
    """As soon as the chain's job has sealed the month's journals."""
    path, until = f"/v1/closings/{month}/approval", time.monotonic() + SEAL_TIMEOUT_S
    while True:
        key = f"approve-{time.time_ns()}"
        try:
            door.send("POST", "loyalty", path, {"draft": draft}, key=key, token=approver)
        except StackError as error:
            if "not-sealed-yet" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return
