"""Erasure on request: a person is forgotten by every service, and each gives a receipt."""

from datetime import datetime
from typing import get_args

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.profile import facts, identity
from services.profile.api.cause import cause_of
from services.profile.store import erasures, people
from services.profile.store.erasures import Receipt
from shared import aliases, outbox
from shared.errors import NotFound
from shared.events.envelope import CustomerId
from shared.http.auth import needs
from shared.http.context import Body, Ctx
from shared.http.once import once
from shared.settings import ServiceName

router = APIRouter(tags=["privacy"])

SERVICES = get_args(ServiceName)


class Erasure(Body):
    reason: str = Field("", max_length=200, description="Such as request; no personal data.")


class Asked(BaseModel):
    """`members` is how many ids the person has; each service answers for each of them."""

    request_id: str
    requested_at: datetime
    deadline: datetime
    members: int


class ReceiptView(BaseModel):
    """What a service holds no more, and what ages out by itself until when."""

    service: str
    completed_at: datetime
    erased: dict[str, int] = Field(description="Rows, by table.")
    gone_by: dict[str, datetime]


class ErasureView(Asked):
    """`waiting` are the services that have not yet answered for every id."""

    receipts: list[ReceiptView]
    waiting: list[str]


@router.post(
    "/v1/profiles/{customer_id}/erasure",
    status_code=202,
    response_model=Asked,
    openapi_extra=needs("privacy:write", subject="customer_id"),
)
async def request_erasure(customer_id: CustomerId, body: Erasure, request: Request) -> Response:
    """Forget the person behind this id, by all its ids, up to now.

    An id that was never heard of here is asked for too: another service may know it.
    """
    async with once(request, body) as tx:
        locked = await people.lock(tx.conn, [customer_id], [customer_id])
        cause = cause_of(request, customer_id)
        person = locked.people[customer_id]
        asked = facts.erasure(cause, person, body.reason)
        await erasures.ask(tx.conn, asked)
        await aliases.save(tx.conn, identity.dissolved(person))
        await outbox.enqueue(tx.conn, asked)
        fact = asked[0].data
        tx.detail = {"request_id": fact.request_id}
        view = Asked(
            request_id=fact.request_id,
            requested_at=cause.time,
            deadline=fact.deadline,
            members=len(asked),
        )
        where = {"Location": f"/v1/erasures/{fact.request_id}"}
        return tx.answer(view, status=202, headers=where)


@router.get("/v1/erasures/{request_id}", openapi_extra=needs("privacy:write"))
async def get_erasure(request_id: str, context: Ctx) -> ErasureView:
    """Who has answered, with what; it names nobody."""
    async with context.engine.connect() as conn:
        asked = await erasures.get_request(conn, request_id)
        if asked is None:
            raise NotFound("no erasure has this request_id")
        receipts = await erasures.list_receipts(conn, request_id)
    answers = [receipt.service for receipt in receipts]
    return ErasureView(
        request_id=asked.request_id,
        requested_at=asked.requested_at,
        deadline=asked.deadline,
        members=asked.members,
        receipts=[_receipt(receipt) for receipt in receipts],
        waiting=[name for name in SERVICES if answers.count(name) < asked.members],
    )


def _receipt(receipt: Receipt) -> ReceiptView:
    return ReceiptView(
        service=receipt.service,
        completed_at=receipt.completed_at,
        erased=receipt.erased,
        gone_by={name: datetime.fromisoformat(until) for name, until in receipt.gone_by.items()},
    )
