"""External ids, for marketplaces' member programmes: looked up, bound, unbound.

    GET  /v1/accounts?type=ouid&issuer=shop-1&value=...     whom it stands for
    POST /v1/accounts/bind      {type, issuer, value, customer_id}
    POST /v1/accounts/unbind    the same

Both writes name the state that they want, so a repeat changes nothing. `bind` takes no
Idempotency-Key: it is one statement, because marketplaces wait for it for no longer than a
tenth of a second; a repeat that comes after an `unbind` binds again. The answer of `unbind`
for an id that stands for nobody is the same as that for one that just ceased to.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from services.loyalty.members.bindings import (
    Binding,
    BoundToAnother,
    ExternalId,
    Issuer,
    Type,
    Value,
)
from services.loyalty.store import bindings as store
from services.loyalty.store.bindings import Asked
from services.loyalty.work.people import refuse_nobody
from shared import aliases
from shared.errors import Conflict, NotFound
from shared.events.envelope import CustomerId
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/accounts", tags=["bindings"])

TRIES = 3
"""Somebody would have to bind and unbind the same id between two statements, each time."""


class Bind(ExternalId):
    """An external id, and the customer for whom it stands."""

    customer_id: CustomerId


class BindingView(BaseModel):
    """Whom an external id stands for. `bound` false: for nobody, any more."""

    type: str
    issuer: str
    value: str
    customer_id: str
    bound: bool = True
    bound_at: datetime | None = None


class Bindings(BaseModel):
    """All external ids of a person."""

    items: list[BindingView]


class Unsettled(Conflict):
    """This external id is being bound and unbound; try again."""


@router.get("", openapi_extra=needs("loyalty:read", subject=ROUTE_CHECKS))
async def look_up(
    request: Request,
    type: Annotated[Type, Query()],  # noqa: A002  the name that callers write
    value: Annotated[Value, Query()],
    issuer: Annotated[Issuer, Query()] = "",
) -> BindingView:
    """The customer for whom an external id stands."""
    wanted = _external(type, issuer, value)
    found = await store.find_hot(context_of(request).hot, wanted)
    if found is None:
        raise NotFound("this external id stands for nobody; bind it first")
    audit.read(request.scope, found.customer_id)
    return _view(found)


@router.get("/{customer_id}/bindings", openapi_extra=needs("loyalty:read", subject="customer_id"))
async def list_bindings(customer_id: CustomerId, request: Request) -> Bindings:
    """All external ids that stand for the person."""
    async with context_of(request).engine.connect() as conn:
        person = await aliases.person_of(conn, customer_id)
        found = await store.list_of_person(conn, person.members)
    return Bindings(items=[_view(each) for each in found])


@router.post("/bind", openapi_extra=needs("loyalty:write", subject=ROUTE_CHECKS))
async def bind(body: Bind, request: Request) -> BindingView:
    """Let an external id stand for a customer; BoundToAnother if it stands for another."""
    refuse_nobody(body.customer_id)
    wanted = _external(body.type, body.issuer, body.value)
    asked = Asked(
        audit.caller_id(request.scope),
        audit.action_of(request.scope),
        request.scope["request_id"],
    )
    hot = context_of(request).hot
    for _ in range(TRIES):
        if added := await store.add_hot(hot, wanted, body.customer_id, asked):
            return _view(added)
        if found := await store.find_hot(hot, wanted):
            await _check_same(request, found.customer_id, body.customer_id)
            return _view(found)
    raise Unsettled(headers={"Retry-After": "1"})


@router.post("/unbind", openapi_extra=needs("loyalty:write", subject=ROUTE_CHECKS))
async def unbind(body: Bind, request: Request) -> Response:
    """Let an external id stand for this customer no longer."""
    async with once(request, body) as tx:
        tx.subject = body.customer_id
        wanted = _external(body.type, body.issuer, body.value)
        person = await aliases.person_of(tx.conn, body.customer_id)
        gone = await store.remove(tx.conn, wanted, person.members)
        if not gone and await store.find(tx.conn, wanted):
            raise BoundToAnother("look it up, and send the customer for whom it stands")
        tx.detail = {"type": body.type, "issuer": body.issuer, "was_bound": gone}
        return tx.answer(
            BindingView(**wanted.model_dump(), customer_id=body.customer_id, bound=False)
        )


async def _check_same(request: Request, known: str, wanted: str) -> None:
    """BoundToAnother unless both ids are one person's."""
    if known == wanted:
        return
    async with context_of(request).engine.connect() as conn:
        person = await aliases.person_of(conn, wanted)
    if known not in person.members:
        raise BoundToAnother("unbind it first, or merge the two customers")


def _external(type_: str, issuer: str, value: str) -> ExternalId:
    try:
        return ExternalId(type=type_, issuer=issuer, value=value)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _view(found: Binding) -> BindingView:
    return BindingView(
        type=found.type,
        issuer=found.issuer,
        value=found.value,
        customer_id=found.customer_id,
        bound_at=found.bound_at,
    )
