"""Stub workers for nginx, on real sockets."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from msgspec import Struct
from multidict import CIMultiDictProxy


class Seen(Struct, frozen=True):
    """A request that a worker received."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    # The address of nginx's connection.
    peer: object

    @property
    def key(self) -> str | None:
        """The Idempotency-Key."""
        return self.headers.get("Idempotency-Key")


class Stub:
    """A worker at `address` that treats all requests alike; `seen` holds them."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self.address = ""
        self.seen: list[Seen] = []
        self._answer = answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record the request and answer it."""
        body = await request.read()
        assert request.transport
        peer = request.transport.get_extra_info("peername")
        self.seen.append(Seen(request.method, request.path_qs, request.headers, body, peer))
        return await self._answer(request)


async def serves(request: web.BaseRequest) -> web.Response:
    """Answer with the ID of the request, as the service does."""
    name = request.headers.get("X-Request-Id", "")
    return web.Response(text="served", headers={"X-Request-Id": name})


async def refuses(request: web.BaseRequest) -> web.Response:
    """Refuse, as a draining worker does."""
    return web.Response(status=503, text="draining", headers={"Retry-After": "7"})


async def breaks(request: web.BaseRequest) -> web.Response:
    """Read the request and abort the connection."""
    assert request.transport
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def stub(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = serves,
) -> AsyncIterator[Stub]:
    """Run a worker that answers every request with `answer`."""
    running = Stub(answer)
    server = web.Server(running.handle, max_line_size=1 << 16)
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    running.address = f"{host}:{port}"
    try:
        yield running
    finally:
        await runner.cleanup()
