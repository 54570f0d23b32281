"""Every failure as problem+json (RFC 9457), with a `type` that never changes.

What the caller can mend says how. What is ours says nothing of our insides: it is logged
under the request's id, which the answer carries in X-Request-Id. What will pass (a full
pool, a lost connection, a time limit) is 503 with Retry-After, and safe to send again.
"""

import json
import re
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from shared import db
from shared.errors import AppError, BadRequest, NotFound, TooLarge, Unavailable, Unprocessable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="regulars"'}
NOT_TEXT = {"22021", "22P05"}  # PostgreSQL's text holds every character but NUL


class MethodNotAllowed(AppError):
    """This address does not take this method."""

    status = 405


class Fault(AppError):
    """Something went wrong on our side."""

    status = 500


class Problem(BaseModel):
    """RFC 9457; `errors` names each wrong field of a 422 and what to do."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, str]] | None = None


KNOWN: dict[int, type[AppError]] = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge}
DETAILS = {404: "no such address", 405: "the Allow header lists what it takes"}


async def handle(_request: Request, error: Exception) -> Response:
    """For Starlette's table of exception handlers."""
    return answer(error)


def answer(error: Exception) -> Response:
    """The response for any exception that a route may raise."""
    known = _known(error)
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(known).__name__).lower()
    body: dict[str, Any] = {
        "type": f"urn:regulars:problem:{kind}",
        "title": known.title,
        "status": known.status,
    }
    if known.detail:
        body["detail"] = known.detail
    content = json.dumps(body | known.more, default=str, ensure_ascii=False)
    headers = known.headers | (CHALLENGE if known.status == 401 else {})
    return Response(content, known.status, headers, MEDIA_TYPE)


def _known(error: Exception) -> AppError:
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        return Unprocessable("see errors", errors=[_field(fault) for fault in error.errors()])
    if isinstance(error, HTTPException):
        return _of_status(error)
    if db.is_transient(error) or db.is_timeout(error):
        log.warning("request failed for now", error=type(error).__name__, state=db.sqlstate(error))
        return Unavailable("try again shortly", headers={"Retry-After": "1"})
    if db.sqlstate(error) in NOT_TEXT:
        return Unprocessable("a text holds a NUL character; send it without")
    log.error("request failed", exc_info=error)
    return Fault("it is logged under this answer's X-Request-Id")


def _of_status(error: HTTPException) -> AppError:
    """What Starlette and FastAPI raise themselves."""
    kind = KNOWN.get(error.status_code, BadRequest if error.status_code < 500 else Fault)
    detail = DETAILS.get(error.status_code, error.detail)
    return kind(detail, headers=dict(error.headers or {}))


def _field(fault: dict[str, Any]) -> dict[str, str]:
    where = [str(part) for part in fault["loc"]]
    if fault["type"] == "json_invalid":
        return {"field": "body", "problem": f"is not JSON at character {where[-1]}"}
    if where == ["body"] and fault["type"] == "model_attributes_type":
        return {"field": "body", "problem": "is not read: send an object, as application/json"}
    if fault["type"] == "extra_forbidden":
        return {"field": ".".join(where), "problem": "is not a field of this request; remove it"}
    return {"field": ".".join(where), "problem": fault["msg"]}
