"""Whether a notice goes out. Pure: the same inputs give the same decision.

It is decided twice. When the notice arises, `bar` says what can never change again, such
as that it is history. At the moment of hand-over `decide` looks at everything anew, since
a consent may have been withdrawn, or the order cancelled, while the notice waited.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.notify.people import Person

Kind = Literal["order_confirmation", "order_shipped"]
Reason = Literal[
    "backfill",  # history never mails anyone
    "muted",  # this worker rebuilds, and sends nothing
    "test_order",
    "superseded",  # a newer revision of the order was known already
    "no_direct_contact",  # the store's buyers are reached only through their platform
    "stale",
    "order_cancelled",
    "restricted",  # the person's data is kept and not used
    "withdrawn",
    "no_consent",
    "no_address",
    "erased",
]

ADDRESS_WAIT = timedelta(minutes=15)
"""The order may be read before its customer's registration, which comes by another topic."""
ADDRESS_LOOK = timedelta(seconds=20)

RETRY_DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (30, 120, 600, 1_800, 7_200, 21_600, 54_000)
)
ATTEMPTS_MAX = len(RETRY_DELAYS) + 1  # within a day: greylisting passes, a dead server does not


@dataclass(frozen=True, slots=True)
class Rule:
    """What a kind of notice needs: with `opt_in` a granted consent, else none withdrawn."""

    purpose: str
    opt_in: bool
    fresh_for: timedelta


ORDER = Rule("transactional", opt_in=False, fresh_for=timedelta(hours=48))
RULES: dict[Kind, Rule] = {"order_confirmation": ORDER, "order_shipped": ORDER}


@dataclass(frozen=True, slots=True)
class Send:
    """Hand it over, to this address."""

    address: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Decide again later."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Suppress:
    """It will not go out, for this reason."""

    reason: Reason


Decision = Send | Hold | Suppress


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the notice's own event says; `time` is that event's."""

    rule: Rule
    channel: str
    time: datetime
    direct_contact: bool
    backfill: bool = False
    muted: bool = False
    test: bool = False
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What may have changed since; `waited` is how long we have known of the notice."""

    person: Person
    address: str | None
    cancelled: bool
    waited: timedelta


def bar(candidate: Candidate, now: datetime) -> Suppress | None:
    """What keeps a notice from ever going out."""
    return _first(
        (candidate.backfill, "backfill"),
        (candidate.muted, "muted"),
        (candidate.test, "test_order"),
        (candidate.superseded, "superseded"),
        (not candidate.direct_contact, "no_direct_contact"),
        (now - candidate.time > candidate.rule.fresh_for, "stale"),
    )


def decide(candidate: Candidate, found: Circumstances, now: datetime) -> Decision:
    """What becomes of the notice now, at the moment of hand-over."""
    rule = candidate.rule
    consent = found.person.consent_to(rule.purpose, candidate.channel)
    barred = bar(candidate, now) or _first(
        (found.cancelled, "order_cancelled"),
        (found.person.restricted, "restricted"),
        (consent == "withdrawn", "withdrawn"),
        (rule.opt_in and consent != "granted", "no_consent"),
    )
    if barred:
        return barred
    if found.address is not None:
        return Send(found.address)
    if found.waited < ADDRESS_WAIT:
        return Hold(now + ADDRESS_LOOK)
    return Suppress("no_address")


def _first(*barred: tuple[bool, Reason]) -> Suppress | None:
    return next((Suppress(reason) for applies, reason in barred if applies), None)


def retry_after(attempts: int) -> timedelta | None:
    """How long to wait after so many attempts; None: no more."""
    return RETRY_DELAYS[attempts - 1] if attempts < ATTEMPTS_MAX else None
