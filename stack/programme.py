"""A loyalty programme of three tiers, laid down through the API for the demo and the replay."""

from collections.abc import Mapping
from typing import Any

from stack.door import Door

BEGINNING = "2000-01-01T00:00:00Z"
"""Before all history: a first version may start in the past."""

PROGRAMME: Mapping[str, Mapping[str, Any]] = {
    "/v1/programmes/default": {
        "expiry": {"after_months": 12, "round_to": "month"},
        "redemption": {"points_per_unit": 100, "share_max_percent": 50},
    },
    "/v1/tier-plans/default": {
        "tiers": [
            {"code": "basic", "threshold": 0},
            {"code": "silver", "threshold": 50_000, "benefits": {"multiplier_percent": 120}},
            {
                "code": "gold",
                "threshold": 200_000,
                "benefits": {"multiplier_percent": 150, "service_level": "priority"},
            },
        ],
        "counter": "spend_minor",
        "window": "calendar_year",
        "downgrade": "one_down",
        "grace_days": 30,
    },
    "/v1/rules/spend": {"name": "one point for each full unit", "points": 1},
    "/v1/rules/member-day": {
        "name": "double points on the 18th",
        "kind": "multiplier",
        "percent": 200,
        "when": {"days_of_month": [18]},
    },
    "/v1/finance-policies/default": {
        "value": {"minor": 100, "per_points": 100},
        "breakage": {"method": "chain_ladder", "months_min": 1},
    },
}


def lay_down(door: Door) -> None:
    """What is laid down already stays."""
    for path, body in PROGRAMME.items():
        if door.get("loyalty", path) is None:
            door.send("PUT", "loyalty", path, {"starts_at": BEGINNING, **body}, key=f"first{path}")
