"""What becomes of a referral that was judged: awarded, capped, held, reversed. Pure.

Caps, the budget and a review are decided once, for they depend on who came first; all else
follows from the verdict, and comes and goes with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from uuid import UUID

from services.loyalty.inviting.referrals import Referral, ReferralProgramme, Verdict


@dataclass(slots=True)
class Used:
    """When others of the same referrer qualified, and what of the budget is spent, in points."""

    friends: dict[UUID, datetime] = field(default_factory=dict)
    spent: int = 0


DECIDED_ONCE = frozenset({"cap_month", "cap_year", "cap_ever", "budget", "declined"})


def settle(
    before: Referral,
    verdict: Verdict,
    programme: ReferralProgramme | None,
    used: Used,
    *,
    zone: tzinfo,
    admitted: bool,
) -> Referral:
    """The referral as it should be, with what should be booked of it. `used` is without it."""
    order_id = verdict.order.order_id if verdict.order else ""
    if verdict.state == "qualified" and programme:
        assert verdict.order, "it qualified by an order"
        if before.awarded:
            return replace(before, state="awarded", reason="", order_id=order_id)
        at = verdict.order.told_at
        found = replace(before, state="qualified", reason="", order_id=order_id, qualified_at=at)
        if before.forgotten or not admitted:
            reason = "referrer_erased" if before.forgotten else "not_a_member"
            return replace(found, reason=reason)
        return _award(before, found, programme, used, zone)
    if before.step:
        reason = verdict.reason if verdict.state == "refused" else "order_returned"
        gone = replace(before, state="reversed", reason=reason)
        return replace(gone, referrer_points=0, friend_points=0)
    return replace(before, state=verdict.state, reason=verdict.reason, order_id=order_id)


def _award(
    before: Referral, found: Referral, programme: ReferralProgramme, used: Used, zone: tzinfo
) -> Referral:
    """What was decided once stays; else as far as there is room."""
    reason = before.reason if before.state == "refused" and before.reason in DECIDED_ONCE else ""
    reason = reason or ("declined" if before.hold == "declined" else "")
    if reason := reason or _over(found, programme, used, zone):
        return replace(found, state="refused", reason=reason)
    if before.hold == "held" or (not before.hold and _many(found, programme, used, zone)):
        return replace(found, reason="too_many_in_a_day", hold="held")
    return replace(
        found,
        state="awarded",
        referrer_points=programme.referrer_points,
        friend_points=programme.friend_points,
    )


def _over(found: Referral, programme: ReferralProgramme, used: Used, zone: tzinfo) -> str:
    """Which cap has no room for one more."""
    limits, at = programme.caps, found.qualified_at
    assert at, "it has qualified"
    others = [each.astimezone(zone) for each in used.friends.values()]
    here = at.astimezone(zone)
    in_year = [each for each in others if each.year == here.year]
    in_month = [each for each in in_year if each.month == here.month]
    told: tuple[tuple[str, int | None, int], ...] = (
        ("cap_month", limits.per_month, len(in_month)),
        ("cap_year", limits.per_year, len(in_year)),
        ("cap_ever", limits.ever, len(others)),
    )
    for reason, limit, count in told:
        if limit is not None and count >= limit:
            return reason
    points = programme.referrer_points + programme.friend_points
    return "budget" if limits.budget is not None and used.spent + points > limits.budget else ""


def _many(found: Referral, programme: ReferralProgramme, used: Used, zone: tzinfo) -> bool:
    at, limit = found.qualified_at, programme.review_per_day
    assert at, "it has qualified"
    day = at.astimezone(zone).date()
    same = [each for each in used.friends.values() if each.astimezone(zone).date() == day]
    return limit is not None and len(same) >= limit


def differences(before: Referral, after: Referral) -> Mapping[str, int]:
    """Points to book for each side: above zero to give, below to take back."""
    found = {
        "referrer": after.referrer_points - before.referrer_points,
        "friend": after.friend_points - before.friend_points,
    }
    return {side: points for side, points in found.items() if points}
