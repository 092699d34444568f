"""A proxy before a real server that is away, hangs, is slow, answers 500 or dies, when a test wants it to."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Request:
    """A request as it came from the client.

    Parameters
    ----------
    number : counted from 1.
    line : method, path and version.
    head : its first line and headers.
    body : what follows.
    time : Unix time in milliseconds.
    """

    number: int
    line: str
    head: bytes
    body: bytes
    time: float


Fault = Callable[["Proxy", Request, asyncio.StreamWriter], Awaitable[None]]
"""Does with a request what the server does, or does not."""


async def pass_on(proxy: "Proxy", request: Request, client: asyncio.StreamWriter) -> None:
    """Give the request to the server, and its answer to the client, if that still waits."""
    client.write(await proxy.ask(request.head + request.body))


async def hang(proxy: "Proxy", request: Request, client: asyncio.StreamWriter) -> None:  # noqa: ARG001 - as `Fault`
    """Never answer."""
    await asyncio.sleep(3600)


async def answer_500(proxy: "Proxy", request: Request, client: asyncio.StreamWriter) -> None:  # noqa: ARG001 - as `Fault`
    """Answer as a server does that has a bug, or a full disk."""
    client.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops")


async def die(proxy: "Proxy", request: Request, client: asyncio.StreamWriter) -> None:
    """Let half of the body reach the server, close both connections, and refuse all others."""
    _, server = await proxy.reach()
    server.write(request.head + request.body[: len(request.body) // 2])
    await server.drain()
    server.close()
    client.transport.abort()
    proxy.close()


def slow(seconds: float) -> Fault:
    """Answer some seconds later than the server did."""

    async def fault(proxy: "Proxy", request: Request, client: asyncio.StreamWriter) -> None:
        answer = await proxy.ask(request.head + request.body)
        await asyncio.sleep(seconds)
        client.write(answer)

    return fault


def late(seconds: float) -> Fault:
    """Let the request reach the server only some seconds later, whether the client has given up or not."""

    async def fault(proxy: "Proxy", request: Request, client: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await pass_on(proxy, request, client)

    return fault


def only_first(fault: Fault) -> Fault:
    """Pass on all requests but the first."""
    faults = itertools.chain([fault], itertools.repeat(pass_on))

    async def first(proxy: "Proxy", request: Request, client: asyncio.StreamWriter) -> None:
        await next(faults)(proxy, request, client)

    return first


class Proxy:
    """Stands before a server, in a thread of its own; one request a connection.

    Parameters
    ----------
    server : URI of the server.
    fault : what it does with requests; can be changed at any time.
    faults : what it does with requests whose first line holds a text instead.
    on_request : called with each request before anything is done with it, in the proxy's thread.
    requests : all that came.
    """

    def __init__(self, server: str) -> None:
        self.fault: Fault = pass_on
        self.faults: dict[str, Fault] = {}
        self.on_request: Callable[[Request], object] = lambda _request: None
        self.requests: list[Request] = []
        self._server = urlsplit(server)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    def open(self) -> None:
        """Listen, always at the same port, unless it does."""
        if self._listener is None:
            self._do(self._open())

    def refuse(self) -> None:
        """Listen no longer: who connects is refused. What is under way goes on."""

        async def refuse() -> None:
            self.close()

        self._do(refuse())

    def close(self) -> None:
        """Do what `refuse` does, from the proxy's own thread."""
        if self._listener:
            self._listener.close()
            self._listener = None

    async def ask(self, request: bytes) -> bytes:
        """Return the server's whole answer."""
        reader, writer = await self.reach()
        with contextlib.closing(writer):
            writer.write(request)
            return await reader.read()

    async def reach(self) -> Streams:
        """Connect to the server."""
        return await asyncio.open_connection(self._server.hostname, self._server.port)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the proxy's thread, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection; who only knocks sends nothing."""
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        suppressed = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.closing(writer), contextlib.suppress(*suppressed):
            await self._handle(await self._read(reader), writer)

    async def _handle(self, request: Request, client: asyncio.StreamWriter) -> None:
        """Do with a request what is wanted now."""
        self.requests.append(request)
        self.on_request(request)
        fault = next((fault for text, fault in self.faults.items() if text in request.line), self.fault)
        await fault(self, request, client)
        await client.drain()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        """Read one request, and have the connection closed after it."""
        line, *headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        fields = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
        kept = [header for header in headers if not header.lower().startswith(("connection:", "expect:"))]
        head = "\r\n".join([line, *kept, "Connection: close", "", ""]).encode("latin-1")
        if "chunked" in fields.get("transfer-encoding", ""):
            body = b"".join([chunk async for chunk in _chunks(reader)])
        else:
            body = await reader.readexactly(int(fields.get("content-length", 0)))
        return Request(len(self.requests) + 1, line, head, body, time.time() * 1000)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the chunks of a body as they came, the last one of no bytes too."""
    while True:
        size = await reader.readuntil(b"\r\n")
        yield size + await reader.readexactly(int(size, 16) + 2)
        if int(size, 16) == 0:
            return
