"""A request as the cause of what follows from it."""

from uuid import NAMESPACE_OID, uuid5

from fastapi import Request

from services.profile.facts import SOURCE
from shared.events.envelope import Event
from shared.http.auth import caller_of
from shared.http.context import context_of


def cause_of(request: Request, customer_id: str) -> Event:
    """Named by its caller, path and Idempotency-Key: the same when it is sent again.

    So what it publishes counts once, even after its stored answer was erased.
    """
    key = request.headers["idempotency-key"]  # `once` has checked it
    path = request.scope["path"]
    return Event(
        id=str(uuid5(NAMESPACE_OID, f"{caller_of(request).id}\0{path}\0{key}")),
        source=f"{SOURCE}/http",
        type=f"{request.method} {request.scope['route'].path_format}",
        time=context_of(request).clock.now(),
        topic="",
        key=customer_id,
        data=None,
    )
