"""Fixed ports on 127.0.0.1 unless taken, then the next free one.

A port is free when it can be bound now. Somebody may still take it before its server
does; that server then fails to start, and another `up` chooses again.
"""

import random
import socket
from collections.abc import Iterable, Mapping

from stack.errors import StackError

HOST = "127.0.0.1"

SERVICES = ("profile", "loyalty", "recommend", "notify")

DEFAULTS = {
    "kafka": 19092,
    "kafka_controller": 19093,
    "postgres": 15432,
    "smtp": 10025,
    "mail": 10080,
    "sms": 10081,
    **{service: 8101 + index for index, service in enumerate(SERVICES)},
    **{f"{service}_api_ops": 8201 + index for index, service in enumerate(SERVICES)},
    **{f"{service}_worker_ops": 8301 + index for index, service in enumerate(SERVICES)},
}

TRIES_MAX = 1_000

# Below Linux's ephemeral range (32768 and up): while a server in that range is down, a
# client's own outgoing connection may take its port, or even connect to itself.
SCRATCH_FIRST, SCRATCH_LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers bind: a connection of the last run in TIME_WAIT does not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def next_free(preferred: int, avoid: Iterable[int] = ()) -> int:
    """`preferred`, or the first free port above it that is not one of `avoid`."""
    avoided = set(avoid)
    for port in range(preferred, min(preferred + TRIES_MAX, 65_536)):
        if port not in avoided and is_free(port):
            return port
    raise StackError(f"No free port from {preferred} on; stop what listens there.")


def choose(preferred: Mapping[str, int], held: Mapping[str, int] | None = None) -> dict[str, int]:
    """A free port for each name; none gets a port that another name prefers.

    `held` are the ports of parts that run, and stay as they are.
    """
    chosen = dict(held or {})
    for name, port in preferred.items():
        if name not in chosen:
            others = {other for other_name, other in preferred.items() if other_name != name}
            chosen[name] = next_free(port, others | set(chosen.values()))
    return chosen


def scratch(*parts: str) -> dict[str, int]:
    """Free ports somewhere out of the way, so that test runs side by side do not meet."""
    first = random.SystemRandom().randrange(SCRATCH_FIRST, SCRATCH_LAST, 10)
    return choose({part: first + index for index, part in enumerate(parts)})
