"""Whose rows an answer may hold, of a person with several ids.

All of them, with one exception: a storefront's token for an anonymous id sees that id's own,
since whoever uses the browser next would otherwise see the customer's.
"""

from collections.abc import Sequence

from fastapi import Request

from shared.http.auth import caller_of


def visible(request: Request, members: Sequence[str]) -> tuple[str, ...]:
    """Those of the person's ids that this caller may see."""
    caller = caller_of(request)
    return (caller.sub,) if caller.sub.startswith("anon:") else tuple(members)
