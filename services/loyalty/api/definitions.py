"""What the store lays down, all by one shape: the programme, earning rules, offers, rewards.

    GET /v1/rules                       the last version of each
    GET /v1/rules/{id}?version=         one, with its ETag
    PUT /v1/rules/{id}                  the next version; If-Match where there is one already

A version counts from its `starts_at` on. A later version may not start in the past: what
was decided stays decided, and what is heard of late is judged by what was in force. Auditors read
them too: they say why points were given, and what they are worth. They name nobody.
"""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from services.loyalty.benefits.rewards import Reward
from services.loyalty.books.programme import Programme
from services.loyalty.members.membership import MembershipTerms
from services.loyalty.members.subscriptions import MembershipPlan
from services.loyalty.reporting.valuation import FinancePolicy
from services.loyalty.store import definitions as store
from services.loyalty.terms.definitions import VERSIONS_MAX, Definition, DefinitionId, Version
from shared.errors import NotFound, PreconditionFailed, Unprocessable
from shared.http import paging
from shared.http.auth import caller_of, needs
from shared.http.context import Ctx, context_of
from shared.http.once import once

D = TypeVar("D", bound=Definition)
Name = Annotated[DefinitionId, Path()]
READ = needs("audit:read", "loyalty:read")


class DefinitionView(BaseModel, Generic[D]):
    """One version. `starts_at` is when it began, or begins, to count."""

    id: str
    version: int
    starts_at: datetime
    definition: D


class Definitions(BaseModel, Generic[D]):
    """The last version of each, by id."""

    items: list[DefinitionView[D]]


def routes(kind: type[D], plural: str) -> APIRouter:
    """The routes of one kind of definition, under `/v1/{plural}`."""
    router = APIRouter(prefix=f"/v1/{plural}", tags=["definitions"])
    view, views = DefinitionView[kind], Definitions[kind]  # type: ignore[valid-type]

    @router.get("", openapi_extra=READ, response_model=views)
    async def list_all(context: Ctx) -> Definitions[D]:
        async with context.engine.connect() as conn:
            book = await store.book(conn)
        return views(items=[_view(each) for each in book.newest(kind)])

    @router.get("/{definition_id}", openapi_extra=READ, response_model=view)
    async def get_one(definition_id: Name, context: Ctx, version: int | None = None) -> Response:
        async with context.engine.connect() as conn:
            versions = (await store.book(conn)).versions(kind, definition_id)
        found = [each for each in versions if version in {None, each.version}]
        if not found:
            raise NotFound("nothing of this id and version has been laid down")
        headers = {"ETag": paging.etag_of(found[-1].version)}
        body = _view(found[-1]).model_dump_json()
        return Response(body, headers=headers, media_type="application/json")

    @router.put("/{definition_id}", openapi_extra=needs("loyalty:admin"), response_model=view)
    async def lay_down(
        definition_id: Name,
        body: kind,  # type: ignore[valid-type]
        request: Request,
    ) -> Response:
        return await _lay_down(definition_id, body, request)

    return router


PROGRAMMES = routes(Programme, "programmes")
MEMBERSHIP_TERMS = routes(MembershipTerms, "membership-terms")
MEMBERSHIP_PLANS = routes(MembershipPlan, "membership-plans")
FINANCE_POLICIES = routes(FinancePolicy, "finance-policies")
REWARDS = routes(Reward, "rewards")


async def _lay_down(id_: str, body: Definition, request: Request) -> Response:
    kind = type(body)
    async with once(request, body) as tx:
        versions = (await store.book(tx.conn)).versions(kind, id_)
        before = versions[-1] if versions else None
        if before:
            paging.require_match(request, paging.etag_of(before.version))
        new = _next(id_, before, body, context_of(request).clock.now())
        try:
            await store.add(tx.conn, new, caller_of(request).id)
        except store.Superseded:
            raise PreconditionFailed("read it again, and send its new ETag") from None
        tx.detail = {"kind": kind.__name__, "id": new.id, "version": new.version}
        return tx.answer(_view(new), headers={"ETag": paging.etag_of(new.version)})


def _next(id_: str, before: Version[D] | None, body: D, now: datetime) -> Version[D]:
    if id_ in body.RESERVED:
        raise Unprocessable(f"{id_} is the name of something built in; choose another id")
    number = before.version + 1 if before else 1
    if number > VERSIONS_MAX:
        raise Unprocessable(f"{id_} has {VERSIONS_MAX} versions; begin another id")
    if before and body.starts_at and body.starts_at < now:
        raise Unprocessable(
            "starts_at: a later version may not start in the past; leave it out to start now"
        )
    return Version(id_, number, body.starts_at or now, body)


def _view(version: Version[D]) -> DefinitionView[D]:
    return DefinitionView(
        id=version.id,
        version=version.version,
        starts_at=version.starts_at,
        definition=version.body,
    )
