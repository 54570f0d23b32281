"""What others are told of rewards: never a code, which is as good as money. Pure."""

from typing import Any

from services.loyalty.benefits.coupons import Coupon
from services.loyalty.benefits.rewards import Reward
from services.loyalty.books.ledger import SOURCE
from services.loyalty.books.wallet import Wallet
from services.loyalty.spending.announcements import common_of
from shared.events import codec
from shared.events.envelope import Event
from shared.events.loyalty import PointsRedeemed, PointsReversed, RewardIssued

DOCUMENT = "reward"
"""The source of the journals in which coupons are paid and paid back; the document is an id."""


def issued(coupon: Coupon, reward: Reward, currency: str, cause: Event) -> Event:
    """A member has got a reward."""
    more: dict[str, Any] = {}
    if reward.value_minor:
        more |= {"value_minor": reward.value_minor, "currency": currency}
    if coupon.expires_at:
        more["valid_until"] = coupon.expires_at
    fact = RewardIssued(
        customer_id=coupon.customer_id or "",
        issue_id=str(coupon.id),
        reward_id=coupon.reward_id,
        kind=reward.kind,
        name=reward.name,
        points=coupon.points,
        occasion=reward.occasion,
        **more,
    )
    return codec.follow(cause, f"coupon/{coupon.id}", "reward.issued", fact, source=SOURCE)


def paid(coupon: Coupon, wallet: Wallet, cause: Event) -> list[Event]:
    """Points were spent on it: told of each account that they came from."""
    return [
        codec.follow(
            cause,
            f"coupon/{coupon.id}/paid/{index}",
            "points.redeemed",
            PointsRedeemed(**told, reason=DOCUMENT),
            source=SOURCE,
        )
        for index, told in enumerate(_of(coupon, wallet, {"redeem", "donate"}))
    ]


def paid_back(coupon: Coupon, wallet: Wallet, cause: Event) -> list[Event]:
    """It was made void, and the points went back to their lots."""
    return [
        codec.follow(
            cause,
            f"coupon/{coupon.id}/paid_back/{index}",
            "points.reversed",
            PointsReversed(**told, direction="given_back", reason=DOCUMENT),
            source=SOURCE,
        )
        for index, told in enumerate(_of(coupon, wallet, {"give_back"}))
    ]


def _of(coupon: Coupon, wallet: Wallet, kinds: set[str]) -> list[dict[str, Any]]:
    document = str(coupon.id)
    return [
        common_of(journal, account)
        for journal in wallet.journals
        if (journal.document, journal.source) == (document, DOCUMENT)
        and journal.kind in kinds
        and (account := wallet.accounts[journal.account_id]).customer_id
    ]
