"""A TCP proxy that breaks the connection between a program and a server, on purpose.

    async with Proxy(infra.postgres.port) as proxy:
        url = infra.postgres.url("profile", database=name, port=proxy.port)
        proxy.drop_reply_to(b"COMMIT")    # it commits, and the answer never comes
        await handle_batch(...)
        assert proxy.replies_dropped == 1

* `drop_reply_to`  forwards the request that holds these bytes, waits for the server's
                   answer, throws it away and resets the connection
* `reset`          resets all connections; new ones work
* `cut`, `heal`    resets all, and refuses new ones until healed
* `pause`, `resume` nothing passes in either direction, and nobody is told
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: RST instead of FIN


@dataclass(eq=False)
class _Link:
    """One client's connection, and ours to the server for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallow: bool = False
    tail: bytes = field(default=b"", repr=False)  # the end of the last chunk: a match may span two

    def reset(self) -> None:
        for side in (self.client, self.server):
            with contextlib.suppress(OSError, AttributeError):  # closed already
                sock = side.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            side.transport.abort()


class Proxy:
    """Listens on `port` and forwards to `target_port`, both on 127.0.0.1."""

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self.port = port
        self.replies_dropped = 0
        self.connections_made = 0
        self._target_port = target_port
        self._armed: list[bytes] = []
        self._refuses = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def drop_reply_to(self, request: bytes, *, times: int = 1) -> None:
        """The next `times` requests that hold these bytes are done, and no answer comes back."""
        self._armed = [request] * times
        for link in self._links:
            link.tail = b""  # what was sent before does not count

    def disarm(self) -> None:
        self._armed = []

    def reset(self) -> None:
        for link in list(self._links):
            link.reset()

    def cut(self) -> None:
        self._refuses = True
        self.reset()

    def heal(self) -> None:
        self._refuses = False

    def pause(self) -> None:
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refuses:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:  # the server is down, so we are
            writer.transport.abort()
            return
        self.connections_made += 1
        link = _Link(writer, server_writer)
        self._links.add(link)
        try:
            await asyncio.gather(self._requests(reader, link), self._replies(server_reader, link))
        finally:
            self._links.discard(link)
            link.reset()

    async def _requests(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                if self._armed and self._armed[0] in link.tail + chunk:
                    self._armed.pop(0)
                    link.swallow = True
                link.tail = chunk[-64:]
                link.server.write(chunk)
                await link.server.drain()
            link.server.write_eof()

    async def _replies(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                if link.swallow:
                    self.replies_dropped += 1
                    link.reset()
                    return
                link.client.write(chunk)
                await link.client.drain()
            link.client.write_eof()
