"""Cursors, pages, and the ETags of what two people may edit."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Generic, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.errors import AppError, BadRequest, PreconditionFailed

T = TypeVar("T")
P = TypeVar("P")

Limit = Annotated[int, Query(ge=1, le=200)]
"""How many to a page; read one more, to know whether there is another page."""


class PreconditionRequired(AppError):
    """This change needs an If-Match header, so that it cannot undo another's unseen."""

    status = 428


class Page(BaseModel, Generic[T]):
    """`next` is the cursor of the next page, or null on the last."""

    items: list[T]
    next: str | None = None


class Cursor(Generic[P]):
    """Where a page begins: the sort key `P` of the last item to us, opaque to callers."""

    def __init__(self, position: type[P]) -> None:
        self._adapter: TypeAdapter[P] = TypeAdapter(position)

    def encode(self, position: P) -> str:
        return urlsafe_b64encode(self._adapter.dump_json(position)).decode().rstrip("=")

    def decode(self, cursor: str) -> P | None:
        """None for the first page; BadRequest for what `encode` did not make."""
        if not cursor:
            return None
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            position = self._adapter.validate_json(urlsafe_b64decode(padded))
            _check_range(position)
        except (NotBase64, ValidationError, ValueError, OverflowError) as error:
            raise BadRequest("cursor: send `next` of the page before, as it is") from error
        return position


def _check_range(position: object) -> None:
    """ValueError or OverflowError for what PostgreSQL could not be asked about."""
    for part in position if isinstance(position, tuple) else (position,):
        if isinstance(part, datetime):
            part.astimezone(UTC)
        if isinstance(part, int) and part.bit_length() > 63:
            raise ValueError("not a bigint")


def page(items: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> Page[T]:
    """A page of `items`, of which up to `limit + 1` were read."""
    more = len(items) > limit
    return Page[T](items=list(items[:limit]), next=cursor_of(items[limit - 1]) if more else None)


def etag_of(*version: object) -> str:
    """A strong ETag: equal for equal versions."""
    return f'"{sha256(repr(version).encode()).hexdigest()[:16]}"'


def require_match(request: Request, etag: str) -> None:
    """Refuse a change of something that its sender has not seen as it is now."""
    given = request.headers.get("if-match")
    if given is None:
        raise PreconditionRequired("read it first, and send its ETag in If-Match")
    if given.strip() != "*" and etag not in {tag.strip() for tag in given.split(",")}:
        raise PreconditionFailed("read it again, and send its new ETag in If-Match")
