"""Who is a member, and when. Pure.

Membership is automatic (whoever earns has an account, until he leaves) or by joining. A
*stay* lasts from joining to leaving. Leaving takes effect at the end of the notice period,
by time and not by when a job runs; until then it can be taken back by joining again.

Whether an order earns is asked of the moment at which it was paid. A stay reaches back by
the days that the terms credit, as they were when he joined; so an order that is heard of
late and one that waited for his joining are judged alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.loyalty.books.ledger import SOURCE
from services.loyalty.terms.definitions import Book, Definition
from shared.errors import NotFound, Unprocessable
from shared.events import codec
from shared.events.envelope import Event
from shared.events.fields import ShortCode
from shared.events.loyalty import MembershipChanged

DEFAULT = "default"
"""The id of the one set of terms."""

Days = Annotated[int, Field(ge=0, le=366)]
State = Literal["member", "leaving", "left", "none"]


class MembershipTerms(Definition):
    """How one becomes a member, and ceases to be one."""

    mode: Literal["automatic", "joining"] = "automatic"
    """`joining`: only who has joined earns."""
    terms_version: ShortCode = ""
    """The version of the terms that is to be accepted; empty: any."""
    credit_days: Days = 0
    """Orders paid so many days before joining earn, too."""
    notice_days: Days = 0
    """From asking to leave until the points are forfeited."""

    @model_validator(mode="after")
    def _never_over(self) -> Self:
        if not self.enabled or self.ends_at:
            raise ValueError("terms do not end; lay down a new version of them")
        return self


class NoMember(NotFound):
    """The customer is not a member."""


class OtherTerms(Unprocessable):
    """Another version of the terms is in force."""


@dataclass(frozen=True, slots=True)
class Joining:
    """What a customer accepted, where and when."""

    terms_version: str
    channel: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stay:
    """From joining to leaving, under one customer id; `number` counts them from 1."""

    customer_id: str
    number: int
    joined_at: datetime
    credits_from: datetime
    """Orders paid from then on earn."""
    terms_version: str
    channel: str
    accepted_at: datetime
    """When the present version of the terms was accepted."""
    asked_at: datetime | None = None
    """When he asked to leave."""
    leaves_at: datetime | None = None
    """The first moment at which he is no longer a member."""
    forfeited_at: datetime | None = None
    """When the last of his points was taken; a job's, or that of his joining again."""

    def is_over(self, at: datetime) -> bool:
        return self.leaves_at is not None and self.leaves_at <= at

    def runs(self, at: datetime) -> bool:
        return self.joined_at <= at and not self.is_over(at)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a customer is at a moment, and the stay that says so; automatic members have none."""

    state: State
    stay: Stay | None = None

    @property
    def is_member(self) -> bool:
        return self.state in {"member", "leaving"}


def terms_at(book: Book, at: datetime) -> MembershipTerms:
    found = book.one_in_force(MembershipTerms, DEFAULT, at)
    return found.body if found else MembershipTerms()


def standing(stays: Iterable[Stay], terms: MembershipTerms, at: datetime) -> Standing:
    """Of a person with these stays, under all his ids; one that runs is enough."""
    begun = sorted((s for s in stays if s.joined_at <= at), key=lambda s: (s.joined_at, s.number))
    running = [stay for stay in begun if stay.runs(at)]
    if staying := [stay for stay in running if stay.leaves_at is None]:
        return Standing("member", staying[-1])
    if running:
        return Standing("leaving", max(running, key=lambda stay: stay.leaves_at or at))
    if begun:
        return Standing("left", begun[-1])
    return Standing("member" if terms.mode == "automatic" else "none")


def left_at(stays: Iterable[Stay], at: datetime) -> datetime | None:
    """When a person with these stays left; None: he has not, or is back."""
    told = list(stays)
    if any(stay.runs(at) for stay in told):
        return None
    return max((stay.leaves_at for stay in told if stay.leaves_at), default=None)


def admits(stays: Iterable[Stay], terms: MembershipTerms, paid_at: datetime) -> bool:
    """Whether an order paid then earns; `terms` are those of then."""
    told = list(stays)
    if any(stay.credits_from <= paid_at and not stay.is_over(paid_at) for stay in told):
        return True
    left = any(stay.is_over(paid_at) for stay in told)
    return terms.mode == "automatic" and not left


def join(
    stays: Sequence[Stay],
    terms: MembershipTerms,
    joining: Joining,
    *,
    customer_id: str,
    now: datetime,
) -> Stay:
    """The stay that now runs: a new one, or the running one with what it takes over.

    Joining again accepts newer terms and takes back a leaving; else it changes nothing.
    """
    if terms.terms_version and joining.terms_version != terms.terms_version:
        raise OtherTerms(f"terms_version: {terms.terms_version} is in force; show it and send it")
    if joining.at > now:
        raise Unprocessable("time: is in the future; send when he joined, or leave it out")
    running = [stay for stay in stays if stay.runs(now)]
    if not running:
        if any(stay.is_over(now) and not stay.is_over(joining.at) for stay in stays):
            raise Unprocessable("time: is before he left; send when he joined again")
        return _new(stays, terms, joining, customer_id)
    stay = max(running, key=lambda each: (each.customer_id == customer_id, each.joined_at))
    if stay.terms_version != joining.terms_version:
        stay = replace(stay, terms_version=joining.terms_version, accepted_at=joining.at)
    return replace(stay, asked_at=None, leaves_at=None)


def leave(
    stays: Sequence[Stay], terms: MembershipTerms, *, customer_id: str, now: datetime
) -> list[Stay]:
    """The person's running stays, each with its end; who asked before leaves as he was told."""
    found = standing(stays, terms, now)
    if not found.is_member:
        raise NoMember("there is nothing to leave")
    leaves_at = now + timedelta(terms.notice_days)
    running = [stay for stay in stays if stay.runs(now)]
    if not running:  # an automatic member, of whom nothing is written down yet
        running = [_new(stays, terms, Joining("", "", now), customer_id)]
    return [
        stay if stay.leaves_at else replace(stay, asked_at=now, leaves_at=leaves_at)
        for stay in running
    ]


def _new(stays: Sequence[Stay], terms: MembershipTerms, joining: Joining, customer_id: str) -> Stay:
    return Stay(
        customer_id=customer_id,
        number=1 + max((s.number for s in stays if s.customer_id == customer_id), default=0),
        joined_at=joining.at,
        credits_from=joining.at - timedelta(terms.credit_days),
        terms_version=joining.terms_version,
        channel=joining.channel,
        accepted_at=joining.at,
    )


def announce(stay: Stay, cause: Event, now: datetime) -> Event:
    """What others are told of a stay that began, or was changed."""
    ending = "left" if stay.is_over(now) else "leaving"
    state = ending if stay.leaves_at else "member"
    fact = MembershipChanged(
        customer_id=stay.customer_id,
        state=state,
        joined_at=stay.joined_at,
        leaves_at=stay.leaves_at,
        terms_version=stay.terms_version,
        channel=stay.channel,
    )
    name = f"membership/{stay.number}/{state}"
    return codec.follow(cause, name, "membership.changed", fact, source=SOURCE)
