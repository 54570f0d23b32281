"""The decision at the moment of hand-over: look at everything as it is now, decide, note it.

One transaction for one notice, with the customer's row as its first lock. What was looked
at is kept with the notice, without addresses or names, so that a decision can be explained
to whoever asks after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify import metrics, policy
from services.notify.channels.email.message import message_id
from services.notify.notices import About
from services.notify.policy import RULES, Candidate, Circumstances, Hold, Send, Suppress
from services.notify.rendering import Choice, Templates
from services.notify.store import people as people_store
from services.notify.store import sending
from services.notify.store.sending import Claimed, Leased
from shared import aliases, outbox
from shared.stores import Store
from shared.world import World


@dataclass(frozen=True, slots=True)
class Ready:
    """A notice that counts as handed over from now on, and all that sending it needs."""

    about: About
    choice: Choice
    content: Mapping[str, Any]
    store: Store
    name: str | None
    address: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Sender:
    """What every decision of a sender has in common; `lease_s` covers one hand-over."""

    world: World
    templates: Templates
    lease_s: float


async def decide(
    conn: AsyncConnection, sender: Sender, lease: UUID, claimed: Claimed
) -> Ready | None:
    """None if the notice is held, suppressed, or no longer ours."""
    now = sender.world.clock.now()
    await people_store.lock(conn, [claimed.customer_id])
    leased = await sending.get_leased(conn, lease, claimed.id)
    if leased is None:
        return None
    candidate, found = await _look(conn, leased, sender.world)
    decision = policy.decide(candidate, found, now)
    noted = _note(candidate, found, leased, now)
    match decision:
        case Send(address):
            return await _hand_over(conn, sender, leased, found, (address, noted))
        case Hold(until):
            noted |= {"outcome": "hold", "until": until.isoformat()}
            await sending.hold(conn, leased.id, noted, until - now)
        case Suppress(reason):
            noted |= {"outcome": "suppress", "reason": reason}
            await sending.suppress(conn, leased.id, noted, reason)
            await outbox.enqueue(conn, [_about(leased).suppressed(reason, now)])
        case _:
            assert_never(decision)
    metrics.NOTICES.labels(leased.channel, noted["outcome"]).inc()
    return None


async def _look(
    conn: AsyncConnection, leased: Leased, world: World
) -> tuple[Candidate, Circumstances]:
    """Everything that the decision depends on. Who is told about an order is said there first."""
    behind = await aliases.person_of(conn, leased.customer_id)
    person = await people_store.load_person(conn, behind.members)
    address = (leased.contact or {}).get("email") or person.newest("email")
    direct = world.stores.get(leased.store).direct_contact
    candidate = Candidate(RULES[leased.kind], leased.channel, leased.time, direct)
    return candidate, Circumstances(person, address, leased.cancelled, leased.waited)


async def _hand_over(
    conn: AsyncConnection,
    sender: Sender,
    leased: Leased,
    found: Circumstances,
    sent: tuple[str, dict[str, Any]],
) -> Ready:
    """Choose the text; from this commit on the provider may have it."""
    address, noted = sent
    store = sender.world.stores.get(leased.store)
    contact = leased.contact or {}
    wanted = (contact.get("locale"), found.person.newest("locale"), store.locale)
    choice = sender.templates.choose(leased.kind, wanted)
    await sending.hand_over(
        conn,
        leased.id,
        noted | {"outcome": "send"},
        lease_s=sender.lease_s,
        template=choice.template,
        template_version=choice.version,
        locale=choice.locale,
        address=address,
        message_id=message_id(leased.id, store.sender),
    )
    return Ready(
        about=_about(leased, choice.template),
        choice=choice,
        content=leased.content,
        store=store,
        name=contact.get("name") or found.person.newest("name"),
        address=address,
        attempt=leased.attempts + 1,
    )


def _about(leased: Leased, template: str = "") -> About:
    return About(
        leased.id,
        leased.customer_id,
        leased.kind,
        leased.channel,
        leased.order_id,
        leased.store,
        template,
        leased.traceparent,
    )


def _note(
    candidate: Candidate, found: Circumstances, leased: Leased, now: datetime
) -> dict[str, Any]:
    """The decision's inputs, for people to read."""
    own = (leased.contact or {}).get("email")
    return {
        "at": now.isoformat(),
        "age_s": round((now - candidate.time).total_seconds()),
        "fresh_for_s": round(candidate.rule.fresh_for.total_seconds()),
        "purpose": candidate.rule.purpose,
        "consent": found.person.consent_to(candidate.rule.purpose, candidate.channel),
        "restricted": found.person.restricted,
        "direct_contact": candidate.direct_contact,
        "order_cancelled": found.cancelled,
        "address_from": "order" if own else "customer" if found.address else None,
    }
