"""Requests a second, for each caller, in this process.

The generic cell rate algorithm: one number for a caller, the time at which all that it has
used is paid back. A caller may burst one second's worth. With n replicas a caller has up
to n times its rate; the ingress holds the total. Time is the machine's monotonic clock.

Source: ITU-T I.371 (GCRA); draft-ietf-httpapi-ratelimit-headers-10 (the two fields).
"""

import time
from collections.abc import Callable
from functools import lru_cache
from math import ceil

from shared import metrics
from shared.errors import TooManyRequests

CALLERS_MAX = 50_000  # then those that owe nothing are forgotten: all are idle after a second

Headers = tuple[tuple[bytes, bytes], ...]


class Limiter:
    """Counts what each caller has used."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._paid_at: dict[str, float] = {}

    def take(self, caller: str, rate: int) -> Headers:
        """Count one request; the headers that say what is left, or TooManyRequests."""
        now = self._now()
        paid_at = max(self._paid_at.get(caller, now), now) + 1 / rate
        left = 1 - (paid_at - now)
        if left < -1e-9:  # a burst of exactly `rate` passes, whatever its sum rounds to
            metrics.RATE_LIMITED.inc()
            raise TooManyRequests(
                f"at most {rate} requests a second",
                headers={
                    "Retry-After": str(ceil(-left)),
                    "RateLimit-Policy": _policy(rate).decode(),
                    "RateLimit": '"caller";r=0;t=1',
                },
            )
        if len(self._paid_at) >= CALLERS_MAX:
            self._paid_at = {name: at for name, at in self._paid_at.items() if at > now}
        self._paid_at[caller] = paid_at
        remaining = b'"caller";r=%d;t=1' % int(left * rate + 1e-6)
        return ((b"ratelimit-policy", _policy(rate)), (b"ratelimit", remaining))


@lru_cache(1_000)
def _policy(rate: int) -> bytes:
    return b'"caller";q=%d;w=1' % rate
