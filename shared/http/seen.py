"""What became of one event in this service, for a platform's developer or a service agent.

    GET /v1/events/{source}/{id}          the id is what follows the last slash
    GET /v1/events?source=...&id=...      for any source and id, percent-encoded

A source may hold slashes and colons. One that holds two slashes in a row, or an id with a
slash, takes the second form: proxies tidy paths. The answer tells when the event was seen
and where in the log it stood, what it caused here, and its dead letters. An inbox row is
dropped some time after its topic's retention; what the event caused is told for longer.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy import text

from shared.errors import NotFound
from shared.http import audit
from shared.http.auth import needs
from shared.http.context import context_of

router = APIRouter(tags=["events"])

GET_SEEN = text("""
    SELECT consumer, topic, partition, log_offset AS "offset", claimed_at AS at
    FROM inbox
    WHERE id = :id AND source = :source
""")
LIST_DEAD_LETTERS = text("""
    SELECT id, direction, consumer, topic, partition, log_offset AS "offset", reason, state,
           buried_at, settled_at
    FROM dead_letter
    WHERE event_id = :id AND event_source = :source
    ORDER BY id
    LIMIT 20
""")


class Seen(BaseModel):
    """Claimed by a consumer, from this place in the log."""

    consumer: str
    topic: str
    partition: int
    offset: int
    at: datetime


class DeadLetter(BaseModel):
    """Not handled; `dead-letters show <id>` of this service shows its bytes."""

    id: int
    direction: str
    consumer: str
    topic: str
    partition: int
    offset: int
    reason: str
    state: str
    buried_at: datetime
    settled_at: datetime | None


class EventView(BaseModel):
    """One event, as this service knows it."""

    source: str
    id: str
    seen: list[Seen]
    caused: list[dict[str, Any]]
    dead_letters: list[DeadLetter]


@router.get("/v1/events", openapi_extra=needs("events:read"))
async def find_event(
    source: Annotated[str, Query(min_length=1)],
    event_id: Annotated[str, Query(alias="id", min_length=1)],
    request: Request,
) -> EventView:
    """What became of the event `source` and `id`."""
    audit.read(request.scope, None)  # what it caused names customers
    context = context_of(request)
    names = {"source": source, "id": event_id}
    async with context.engine.connect() as conn:
        seen = (await conn.execute(GET_SEEN, names)).mappings().all()
        dead = (await conn.execute(LIST_DEAD_LETTERS, names)).mappings().all()
        caused = await context.caused(conn, source, event_id)
    if not (seen or dead or caused):
        raise NotFound("not seen: not yet, or this service does not read its topic")
    return EventView.model_validate({**names, "seen": seen, "caused": caused, "dead_letters": dead})


@router.get("/v1/events/{source:path}/{event_id}", openapi_extra=needs("events:read"))
async def get_event(source: str, event_id: str, request: Request) -> EventView:
    """The same, by path."""
    return await find_event(source, event_id, request)
