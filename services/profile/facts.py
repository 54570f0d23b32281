"""What profile tells the other services, as events that follow from their cause. Pure."""

from datetime import timedelta

from services.profile.consent import Answer
from services.profile.identity import People, removed
from shared.aliases import Person
from shared.events import codec
from shared.events.envelope import Event, derived_id
from shared.events.profiles import (
    ConsentChanged,
    ErasureRequested,
    ProfileMerged,
    ProfileUnmerged,
)

SOURCE = "regulars/profile"
ERASURE_DEADLINE = timedelta(days=30)  # GDPR art. 12(3): a month


def membership(cause: Event, before: People, after: People, reason: str) -> list[Event]:
    """Who is one person now, under the key of each id of whom that changed."""
    return [
        _membership(cause, id_, before[id_], after, reason)
        for id_ in sorted(after)
        if after[id_] != before[id_]
    ]


def _membership(cause: Event, id_: str, old: Person, after: People, reason: str) -> Event:
    new = after[id_]
    fact = {
        "customer_id": id_,
        "canonical_id": new.canonical_id,
        "members": new.members,
        "version": new.version,
        "reason": reason,
    }
    name = f"membership/{id_}"
    if gone := removed(old, after):
        unmerged = ProfileUnmerged.model_validate({**fact, "removed": gone})
        return codec.follow(cause, name, "profile.unmerged", unmerged, source=SOURCE)
    merged = ProfileMerged.model_validate(fact)
    return codec.follow(cause, name, "profile.merged", merged, source=SOURCE)


def consent(cause: Event, answer: Answer, canonical_id: str) -> Event:
    """The new answer for one purpose and channel."""
    fact = ConsentChanged(
        customer_id=answer.customer_id,
        canonical_id=canonical_id,
        purpose=answer.purpose,
        channel=answer.channel,
        state=answer.state,
        version=answer.version,
        text_version=answer.text_version,
        source=answer.origin,
        at=answer.at,
    )
    name = f"consent/{answer.purpose}/{answer.channel}"
    return codec.follow(cause, name, "consent.changed", fact, source=SOURCE)


def erasure(cause: Event, person: Person, reason: str = "") -> list[Event]:
    """The request to forget a person up to the cause's time, under each member's key."""
    return [
        codec.follow(
            cause,
            f"erasure/{member}",
            "erasure.requested",
            ErasureRequested(
                customer_id=member,
                request_id=derived_id(cause, "erasure"),
                members=person.members,
                erased_until=cause.time,
                deadline=cause.time + ERASURE_DEADLINE,
                reason=reason,
            ),
            source=SOURCE,
        )
        for member in person.members
    ]
