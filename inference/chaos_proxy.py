"""The way to the broker, to be broken: a TCP proxy that drops, refuses, delays, stalls and half-closes.

It runs on a thread of its own. Clients whose id begins with ``chaos-`` are those that watch the run: theirs
are never broken. What a Kafka client calls itself stands in its first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

T = TypeVar("T")

EXEMPT: Final = b"chaos-"
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_BLOCK: Final = 65_536
_HEAD: Final = 14
"""Bytes of a request up to the client's name: length, key, version, correlation, length of the name."""


@dataclass(eq=False, slots=True)
class _Connection:
    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    swallow: bool = False
    """What the broker answers is lost."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared while nothing is let through."""

    def reset(self) -> None:
        """End both sides at once, as a cut line does."""
        for side in (self.client, self.broker):
            _reset(side)

    def end(self) -> None:
        """Tell the client that the broker has ended; there is nothing more to be told."""
        self.swallow = True
        self.client.write_eof()


def _reset(side: asyncio.StreamWriter) -> None:
    """Close a connection with a reset instead of a goodbye."""
    with contextlib.suppress(OSError):
        side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    side.transport.abort()


class Proxy:
    """Forwards connections to a broker.

    Parameters
    ----------
    target : (str, int)
        Host and port of the broker.
    listen : (str, int)
        Where to listen; port 0 takes a free one.
    seed : int
        Which connections are struck where not all are.
    """

    def __init__(
        self, target: tuple[str, int], listen: tuple[str, int] = ("127.0.0.1", 0), seed: int = 0
    ) -> None:
        self._target = target
        self._socket = socket.create_server(listen)
        self._random = random.Random(seed)
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = self._stalled = False
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-proxy", daemon=True)

    @property
    def address(self) -> str:
        """Host and port for clients."""
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop)
        self._thread.join()
        self._loop.close()

    def count(self) -> int:
        """Connections that can be struck."""
        return self._do(lambda: len(self._connections))

    def drop(self, share: float = 1.0) -> int:
        """Reset connections; return how many."""
        return self._each(_Connection.reset, share)

    def refuse(self, on: bool) -> None:
        """Reset all connections and take no new ones, or take them again."""

        def act() -> None:
            self._refusing = on
            if on:
                for one in list(self._connections):
                    one.reset()

        self._do(act)

    def delay(self, seconds: float) -> None:
        """Let everything come so much later, both ways; 0 ends it."""
        self._do(lambda: setattr(self, "_delay_s", seconds))

    def stall(self, on: bool) -> None:
        """Let nothing through while the connections stay open, or let it through again."""

        def act() -> None:
            self._stalled = on
            for one in self._connections:
                (one.open.clear if on else one.open.set)()

        self._do(act)

    def half_close(self, share: float = 1.0) -> int:
        """Tell clients that the broker has ended; what they sent still reaches it. Return how many."""
        return self._each(_Connection.end, share)

    def swallow(self, share: float = 1.0) -> int:
        """Lose what the broker answers until the connection is dropped; return of how many."""
        return self._each(lambda one: setattr(one, "swallow", True), share)

    def _each(self, act: Callable[[_Connection], None], share: float) -> int:
        def strike() -> int:
            struck = [one for one in self._connections if share >= 1 or self._random.random() < share]
            for one in struck:
                with contextlib.suppress(OSError):
                    act(one)
            return len(struck)

        return self._do(strike)

    def _do(self, act: Callable[[], T]) -> T:
        async def call() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._accept, sock=self._socket)
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stop(self) -> None:
        self._stopped.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            first, exempt = await _introduction(reader)
            if self._refusing and not exempt:
                _reset(client)
                return
            answers, broker = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.IncompleteReadError):
            _reset(client)
            return
        connection = _Connection(client, broker)
        if exempt or not self._stalled:
            connection.open.set()
        if not exempt:
            self._connections.add(connection)
        try:
            broker.write(first)
            await asyncio.gather(
                self._pump(connection, reader, broker, exempt),
                self._pump(connection, answers, client, exempt),
            )
        except OSError:
            connection.reset()
        finally:
            self._connections.discard(connection)
            for side in (client, broker):
                side.close()

    async def _pump(
        self,
        connection: _Connection,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        exempt: bool,
    ) -> None:
        while data := await source.read(_BLOCK):
            await connection.open.wait()
            if self._delay_s and not exempt:
                await asyncio.sleep(self._delay_s)
            if connection.swallow and sink is connection.client:
                continue
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()


async def _introduction(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Read up to the client's name; return what was read, and whether its connections stay whole."""
    head = await reader.readexactly(_HEAD)
    n_bytes = max(0, int.from_bytes(head[-2:], "big", signed=True))
    name = await reader.readexactly(n_bytes)
    return head + name, name.startswith(EXEMPT)
