"""The shop's own codes for a reward: uploaded in parts, taken one by one as it is issued.

POST /v1/code-pools/{reward_id}   add codes; what is not added is told by row
GET  /v1/code-pools/{reward_id}   how many are left
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.benefits import codes
from services.loyalty.benefits.rewards import Reward
from services.loyalty.store import definitions, stocks
from services.loyalty.terms.definitions import DefinitionId
from shared.errors import NotFound
from shared.http.auth import needs
from shared.http.context import Body, Ctx
from shared.http.once import once

router = APIRouter(prefix="/v1/code-pools", tags=["rewards"])

CODES_MAX = 50_000
"""Of one upload: as many as fit in a request's body, and take a second or two."""

RewardId = Annotated[DefinitionId, Path()]


class Codes(Body):
    """Codes as they are to be shown."""

    codes: Annotated[tuple[str, ...], Field(min_length=1, max_length=CODES_MAX)]


class Refused(BaseModel):
    """A row that was not added. `malformed`: nothing to type, or over 64 characters. `repeated`:
    reads like an earlier row. `known`: reads like a code that is, or was, in a pool or a coupon."""

    row: int
    """From 1."""
    reason: Literal["malformed", "repeated", "known"]


class Report(BaseModel):
    """What became of an upload."""

    added: int
    refused: list[Refused]


class Pool(BaseModel):
    """How many codes are left to be issued."""

    reward_id: str
    left: int


@router.post("/{reward_id}", response_model=Report, openapi_extra=needs("loyalty:admin"))
async def upload(reward_id: RewardId, body: Codes, request: Request) -> Response:
    """Add codes to the pool of a reward that has one."""
    async with once(request, body) as tx:
        await _check(tx.conn, reward_id)
        await stocks.lock_pools(tx.conn)
        rows = [(row, code, codes.digest(code)) for row, code in enumerate(body.codes, start=1)]
        known = await stocks.list_known(tx.conn, {digest for _, _, digest in rows})
        new: dict[bytes, str] = {}
        refused = []
        for row, code, digest in rows:
            if not codes.is_acceptable(code):
                refused.append(Refused(row=row, reason="malformed"))
            elif digest in new:
                refused.append(Refused(row=row, reason="repeated"))
            elif digest in known:
                refused.append(Refused(row=row, reason="known"))
            else:
                new[digest] = code
        await stocks.fill(tx.conn, reward_id, new)
        tx.detail = {"reward_id": reward_id, "added": len(new), "refused": len(refused)}
        return tx.answer(Report(added=len(new), refused=refused))


@router.get("/{reward_id}", openapi_extra=needs("loyalty:admin"))
async def get_pool(reward_id: RewardId, context: Ctx) -> Pool:
    """Counts them: seconds for millions."""
    async with context.engine.connect() as conn:
        await _check(conn, reward_id)
        return Pool(reward_id=reward_id, left=await stocks.count_free(conn, reward_id))


async def _check(conn: AsyncConnection, reward_id: str) -> None:
    versions = (await definitions.book(conn)).versions(Reward, reward_id)
    if not versions or versions[-1].body.codes != "pool":
        raise NotFound("no reward of this id has a pool: lay it down with codes: pool")
