"""Who calls, and what each route asks of them.

`Authenticate` is one ASGI middleware: an API key or a storefront's token becomes
`scope["caller"]`, and its request is counted. Each route says what it needs:

    @router.get("/v1/accounts/{customer_id}",
                openapi_extra=needs("loyalty:read", subject="customer_id", storefront=True))

A `Lock` around the route asks for it before the body is read: the scope; for a storefront
that the subject is its own `sub` and no other id, whatever was merged with it, else 404;
for a server key that reads a subject's data, an audit record. `create_app` refuses a route
that does not say, so nothing is open by forgetting. Where several scopes are named, any will do.
"""

import asyncio
import copy
from collections.abc import Sequence
from typing import Any, get_args

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import keys
from shared.errors import BadRequest, Fatal, Forbidden, NotFound, Unauthorized
from shared.http import audit
from shared.http.rate import Limiter
from shared.http.tokens import Tokens
from shared.keys import Caller, KeyRing

PUBLIC = "public"
"""The scope of a route that anyone may call."""
ROUTE_CHECKS = "route"
"""The subject of a route that learns whose data it is only inside, and calls `own` itself."""

ADDRESS_RATE = 50  # requests/s without valid credentials, from one address


def needs(
    *scopes: str, subject: str = "", storefront: bool = False, seconds_max: float = 0
) -> dict[str, Any]:
    """What a route asks for, as its `openapi_extra`: a key with any of `scopes`.

    `subject` names the path or query parameter that says whose data it is; `storefront`
    opens the route to the customers' own tokens; `seconds_max` is for the few reads that may
    take longer than the shell allows.
    """
    security: list[dict[str, list[str]]] = [{"apiKey": [scope]} for scope in scopes]
    return {
        "x-scopes": list(scopes),
        "x-subject": subject,
        "x-storefront": storefront,
        "x-seconds-max": seconds_max,
        "security": [] if PUBLIC in scopes else security + [{"storefront": []}] * storefront,
    }


def caller_of(request: Request) -> Caller:
    """Who calls a route that is not public."""
    caller: Caller = request.scope["caller"]
    return caller


def own(request: Request, customer_id: str) -> None:
    """NotFound if a storefront asks for another customer's; 404 tells it nothing."""
    caller = caller_of(request)
    if caller.kind == "storefront" and caller.sub != customer_id:
        raise NotFound("there is none of this id for this customer")


def reach(request: Request, members: Sequence[str]) -> tuple[str, ...]:
    """Whose rows an answer may hold, of a person with these ids: all of them for a server key,
    for a storefront only its own, because a merge never widens a storefront's token."""
    caller = caller_of(request)
    return (caller.sub,) if caller.kind == "storefront" else tuple(members)


class Authenticate:
    """Sets `scope["caller"]`: None without credentials, which only public routes accept."""

    def __init__(self, app: ASGIApp, *, ring: KeyRing, tokens: Tokens) -> None:
        self.app = app
        self._ring = ring
        self._tokens = tokens
        self._limiter = Limiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            address = f"address:{(scope.get('client') or ('?',))[0]}"
            try:
                caller = await self._caller(scope)
            except Unauthorized:
                self._limiter.take(address, ADDRESS_RATE)
                raise
            scope["caller"] = caller
            who, rate = (caller.id, caller.rate) if caller else (address, ADDRESS_RATE)
            scope["rate_headers"] = self._limiter.take(who, rate)
        await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller | None:
        given = next((v for k, v in scope["headers"] if k == b"authorization"), None)
        if given is None:
            return None
        kind, _, token = given.decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthorized("send `Authorization: Bearer <key or token>`")
        if not token.startswith("rg_"):
            return await self._tokens.verify(token)
        if caller := self._ring.find(token):
            return caller
        raise Unauthorized("the API key is unknown, wrong or expired")


class Lock:
    """Around one route: lets through who may, and notes whose data a server key reads."""

    def __init__(self, app: ASGIApp, route: APIRoute, rule: dict[str, Any]) -> None:
        self.app = app
        self._scopes: frozenset[str] = frozenset(rule["x-scopes"])
        self._subject: str = rule["x-subject"]
        self._storefront: bool = rule["x-storefront"]
        self._seconds_max: float = rule["x-seconds-max"]
        self._in_path = self._subject in route.param_convertors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if PUBLIC not in self._scopes:
            self._admit(scope)
        if self._seconds_max:
            until = asyncio.get_running_loop().time() + self._seconds_max
            scope["time_limit"].reschedule(until)
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        caller: Caller | None = scope["caller"]
        if caller is None:
            raise Unauthorized("send `Authorization: Bearer <key or token>`")
        if self._scopes.isdisjoint(caller.scopes) or (caller.sub and not self._storefront):
            wanted = " or ".join(sorted(self._scopes))
            raise Forbidden(f"this takes a key with the scope {wanted}", scope=wanted)
        if self._subject in {"", ROUTE_CHECKS}:
            return
        subject = scope["subject"] = self._find(scope)
        if caller.kind == "storefront":
            if subject != caller.sub:
                raise NotFound("there is none of this id for this customer")
        elif scope["method"] == "GET":
            audit.read(scope, subject)

    def _find(self, scope: Scope) -> str | None:
        if self._in_path:
            return str(scope["path_params"][self._subject])
        given = QueryParams(scope["query_string"]).getlist(self._subject)
        if len(given) > 1:  # or the lock and the route might each look at another one
            raise BadRequest(f"{self._subject} is given more than once")
        return given[0] if given else None


def lock(route: BaseRoute) -> APIRoute:
    """A copy of the route with its lock on; Fatal if it does not say what it needs."""
    if not isinstance(route, APIRoute):
        raise Fatal(f"{route}: give create_app flat routers of plain routes")
    rule = route.openapi_extra or {}
    name = f"{'/'.join(route.methods or ())} {route.path}"
    scopes, subject = rule.get("x-scopes"), rule.get("x-subject", "")
    if not scopes:
        raise Fatal(f"{name} says no scope: give it openapi_extra=needs(...)")
    for scope in {*scopes} - {PUBLIC, *get_args(keys.Scope)}:
        raise Fatal(f"{name} needs the scope {scope}, which shared/keys.py does not list")
    known = {*route.param_convertors, *(p.alias for p in route.dependant.query_params)}
    if subject not in {"", ROUTE_CHECKS, *known}:
        raise Fatal(f"{name} has no parameter {subject} to be its subject")
    if rule["x-storefront"] and not subject:
        raise Fatal(f"{name} is open to storefronts: give it a subject, or ROUTE_CHECKS")
    locked = copy.copy(route)
    locked.app = Lock(route.app, route, rule)
    return locked
