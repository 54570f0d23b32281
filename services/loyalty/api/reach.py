"""Whose rows an answer may hold, of a person with several ids; and whether it may name anybody.

All of them, with one exception: a storefront's token for an anonymous id sees that id's own,
since whoever uses the browser next would otherwise see the customer's. An auditor sees all of
the books and nobody in them.
"""

from collections.abc import Sequence

from fastapi import Request

from shared.http.auth import caller_of


def visible(request: Request, members: Sequence[str]) -> tuple[str, ...]:
    """Those of the person's ids that this caller may see."""
    caller = caller_of(request)
    return (caller.sub,) if caller.sub.startswith("anon:") else tuple(members)


def sees_people(request: Request) -> bool:
    """Whether the caller may learn of whom an answer is, and what somebody wrote of him; a key
    that has only `audit:read` may not."""
    return "loyalty:read" in caller_of(request).scopes
