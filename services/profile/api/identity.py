"""/v1/profiles/{customer_id}: which ids are one person, and the decisions about it.

Two customers become one only here: by a person, or with the platform's key. A merge moves
nothing and widens no storefront's token, and an unmerge undoes it exactly.
"""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.profile import facts, identity
from services.profile.api.cause import cause_of
from services.profile.identity import Home, Link
from services.profile.store import identity as identity_store
from services.profile.store import people, profiles
from services.profile.store.people import Locked
from shared import aliases, outbox
from shared.aliases import Person
from shared.errors import Conflict, NotFound, Unprocessable
from shared.events.envelope import CustomerId, Event
from shared.events.profiles import MEMBERS_MAX
from shared.http.auth import needs
from shared.http.context import Body, Ctx
from shared.http.once import Tx, once

router = APIRouter(prefix="/v1/profiles", tags=["identity"])

READ = needs("profile:read", subject="customer_id")
WRITE = needs("profile:write", subject="customer_id")


class Merge(Body):
    other_id: CustomerId = Field(description="The other of the two, any of its ids.")


class Unmerge(Body):
    member_id: CustomerId = Field(description="The id that is someone else.")


class PersonView(BaseModel):
    """`version` grows with each change of `members`."""

    canonical_id: str
    members: list[str]
    version: int


class LinkView(BaseModel):
    """`member_id` was said to be (`unmerged`: not to be) the same person as `other_id`.

    `in_force`: it is by this that `member_id` is where it is. `refused`: it would have
    joined what is never joined by itself.
    """

    kind: Literal["identified", "merged", "unmerged"]
    member_id: str
    other_id: str
    time: datetime
    source: str
    id: str
    in_force: bool
    refused: bool


class IdentityView(PersonView):
    """The person, and the newest entries of the journal about its members."""

    journal: list[LinkView]


class NotOnePerson(Conflict):
    """These ids are not one person."""


class CanonicalId(Conflict):
    """The canonical id cannot be parted from its own person."""


class TooManyMembers(Conflict):
    """The person would have too many ids."""


@router.get("/{customer_id}/identity", openapi_extra=READ)
async def get_identity(customer_id: CustomerId, context: Ctx) -> IdentityView:
    """The person behind this id, and why."""
    async with context.engine.connect() as conn:
        person = await aliases.person_of(conn, customer_id)
        journal = await identity_store.list_journal(conn, person.members)
        if not journal and not await profiles.exists(conn, person.members):
            raise NotFound("nothing was heard of this customer")
    return IdentityView(**_view(person).model_dump(), journal=[_link(m) for m in journal])


@router.post("/{customer_id}/merge", response_model=PersonView, openapi_extra=WRITE)
async def merge(customer_id: CustomerId, body: Merge, request: Request) -> Response:
    """Say that two ids, each with whom it was joined to, are one person."""
    async with once(request, body) as tx:
        locked = await _lock(tx, customer_id, body.other_id)
        ours, theirs = locked.people[customer_id], locked.people[body.other_id]
        if ours.canonical_id == theirs.canonical_id:
            return tx.answer(_view(ours))
        if len(ours.members) + len(theirs.members) > MEMBERS_MAX:
            raise TooManyMembers(f"a person has at most {MEMBERS_MAX} ids")
        cause = cause_of(request, customer_id)
        asked = Link(body.other_id, customer_id, "merged", *cause.order)
        link, home = identity.merged(asked, locked.people)
        return tx.answer(_view(await _decide(tx, cause, locked, link, home)))


@router.post("/{customer_id}/unmerge", response_model=PersonView, openapi_extra=WRITE)
async def unmerge(customer_id: CustomerId, body: Unmerge, request: Request) -> Response:
    """Say that an id, with whom was joined to it, is someone else; the rest stays together."""
    async with once(request, body) as tx:
        locked = await _lock(tx, customer_id, body.member_id)
        ours = locked.people[customer_id]
        if body.member_id not in ours.members:
            raise NotOnePerson("look at the profile's members")
        if body.member_id == ours.canonical_id:
            raise CanonicalId("part the other ids from it instead")
        cause = cause_of(request, customer_id)
        link = Link(body.member_id, ours.canonical_id, "unmerged", *cause.order)
        await _decide(tx, cause, locked, link, identity.unmerged(link))
        return tx.answer(_view(locked.people[ours.canonical_id]))


async def _lock(tx: Tx, *ids: str) -> Locked:
    if len(set(ids)) < len(ids):
        raise Unprocessable("these are the same id; name two")
    locked = await people.lock(tx.conn, ids, ids)
    for id_ in ids:
        if id_ not in locked.traits:
            raise NotFound("nothing was heard of one of these customers")
    return locked


async def _decide(tx: Tx, cause: Event, locked: Locked, link: Link, home: Home) -> Person:
    """Write a decision down, and tell everyone of whom it changes something."""
    before = dict(locked.people)
    locked.people = identity.regroup({**locked.homes, home.member_id: home}, before)
    changed = {id_: who for id_, who in locked.people.items() if who != before[id_]}
    await identity_store.add_links(tx.conn, [link])
    await identity_store.save_homes(tx.conn, [home])
    await aliases.save(tx.conn, changed)
    await outbox.enqueue(tx.conn, facts.membership(cause, before, locked.people, link.kind))
    return locked.people[cause.key]


def _view(person: Person) -> PersonView:
    return PersonView(
        canonical_id=person.canonical_id, members=list(person.members), version=person.version
    )


def _link(found: identity_store.Marked) -> LinkView:
    link = found.link
    return LinkView(
        kind=link.kind,
        member_id=link.member_id,
        other_id=link.other_id,
        time=link.time,
        source=link.source,
        id=link.id,
        in_force=found.mark,
        refused=link.refused,
    )
