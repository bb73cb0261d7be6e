"""A reverse proxy that changes streams, as proxies in front of a service may."""

import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
from aiohttp import web
from msgspec import Struct

_HOP_HEADERS = ("transfer-encoding", "content-length", "connection", "date", "server", "host")


class Faults(Struct, frozen=True, kw_only=True):
    """What the proxy does wrong; `cut_after` is the number of chunks after which it hangs up.

    `host` is the Host header that it sends.
    """

    buffers: bool = False
    compresses: Literal["", "held back", "as it arrives"] = ""
    drops_cursor: bool = False
    cut_after: int | None = None
    host: str = "localhost"
    refuses: dict[tuple[str, str], int] = {}


@asynccontextmanager
async def proxied(
    target: str, faults: Faults, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Run the proxy in front of a service's URL; yields its own URL."""
    async with aiohttp.ClientSession(auto_decompress=False) as http:

        async def handle(request: web.Request) -> web.StreamResponse:
            if status := faults.refuses.get((request.method, request.path)):
                return web.Response(status=status, text="refused")
            headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_HEADERS}
            headers["Host"] = faults.host
            if faults.drops_cursor:
                headers.pop("Last-Event-ID", None)
            async with http.request(
                request.method,
                target + request.path_qs,
                headers=headers,
                data=await request.read(),
                allow_redirects=False,
            ) as upstream:
                return await _pass_on(request, upstream, faults)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        try:
            yield f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def _pass_on(
    request: web.Request, upstream: aiohttp.ClientResponse, faults: Faults
) -> web.StreamResponse:
    headers = {k: v for k, v in upstream.headers.items() if k.lower() not in _HOP_HEADERS}
    is_stream = upstream.content_type == "text/event-stream"
    compressor = None
    if faults.compresses and is_stream and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    response = web.StreamResponse(status=upstream.status, headers=headers)
    if faults.buffers and is_stream:
        body = await upstream.read()
        await response.prepare(request)
        await response.write(body)
        return response
    await response.prepare(request)
    chunks = 0
    async for chunk in upstream.content.iter_any():
        if is_stream and chunks == faults.cut_after:
            assert request.transport
            request.transport.abort()
            break
        chunks += 1
        if compressor:
            chunk = compressor.compress(chunk)
            if faults.compresses == "as it arrives":
                chunk += compressor.flush(zlib.Z_SYNC_FLUSH)
        await response.write(chunk)
    if compressor:
        await response.write(compressor.flush())
    return response
