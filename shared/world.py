"""What a handler or a job is given besides its connection: nothing that it could not be told."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import Clock
from shared.erasure import Erase, Tombstones
from shared.events.envelope import Event
from shared.settings import Settings
from shared.stores import Stores


@dataclass(frozen=True)
class World:
    """The process's frozen surroundings."""

    settings: Settings
    stores: Stores
    clock: Clock
    tombstones: Tombstones


Handle = Callable[[AsyncConnection, list[Event], World], Awaitable[None]]


@dataclass(frozen=True)
class Handler:
    """What a service does with events: the topics it reads, and their effect.

    `handle` gets a batch in which each event is new, of nobody erased, and in the order of
    each key; it loads, folds and stores, and never commits. `erase` forgets customers and
    says how many rows went, by table. With `quarantine` a key's later events wait behind
    its dead letter.
    """

    topics: tuple[str, ...]
    handle: Handle
    erase: Erase
    quarantine: bool = False
