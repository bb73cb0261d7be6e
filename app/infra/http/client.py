"""HTTP/1.1 client with persistent connections, TLS and proxies.

Only for requests that may be repeated: if the server closes an idle connection just as a request is
sent over it, the request is sent again over a new one.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cached_property
from math import inf
from socket import SOCK_STREAM

from aiohappyeyeballs import start_connection

from app.infra.http.connection import Connection
from app.infra.http.endpoint import Endpoint, proxy_for
from app.infra.http.errors import BadResponse, ConnectTimeout
from app.infra.http.response import Response

# The number of idle connections to keep.
MAX_IDLE = 256
# Seconds after which the next address of a host is tried in parallel (RFC 8305).
HAPPY_EYEBALLS_DELAY = 0.25
# Redirects of one request that are followed.
MAX_REDIRECTS = 3


class HTTPClient:
    """Sends requests; as a context manager it closes its connections at the end.

    `proxies` is described at `proxy_for`; without `tls` the system's certificates are trusted. An
    idle connection is closed after one to two times `idle_time` seconds.
    """

    def __init__(
        self,
        proxies: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        idle_time: float = 15.0,
    ) -> None:
        self._proxies = dict(proxies or {})
        self._given_tls = tls
        self._idle_time = idle_time
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._sweeper: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "HTTPClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._open):
            connection.transport.abort()
        if self._open:
            await asyncio.wait([connection.lost for connection in self._open])

    async def post(
        self,
        endpoint: Endpoint,
        body: bytes,
        *,
        until: float,
        connect_timeout: float = inf,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a body and wait for the head of the response, which the caller must close.

        `until` is the deadline in the time of the running event loop, `connect_timeout` is in
        seconds. `headers` are added to those of the endpoint; each value is one line. A few
        redirects that repeat the request within its origin (307, 308) are followed. Raises
        BadResponse, and OSError (including TimeoutError, and its subclass ConnectTimeout).
        """
        return await self._send("POST", endpoint, body, until, connect_timeout, headers or {})

    async def get(
        self, endpoint: Endpoint, *, until: float, connect_timeout: float = inf
    ) -> Response:
        """Do the same as `post` without a body."""
        return await self._send("GET", endpoint, None, until, connect_timeout, {})

    async def _send(
        self,
        method: str,
        endpoint: Endpoint,
        body: bytes | None,
        until: float,
        connect_timeout: float,
        headers: Mapping[str, str],
    ) -> Response:
        left = MAX_REDIRECTS
        while True:
            response = await self._request(method, endpoint, body, until, connect_timeout, headers)
            there = None
            if response.status in (307, 308) and left:
                there = endpoint.redirect(response.headers.get("location", ""))
            if there is None:
                return response
            response.close()
            endpoint = there
            left -= 1

    async def _request(
        self,
        method: str,
        endpoint: Endpoint,
        body: bytes | None,
        until: float,
        connect_timeout: float,
        headers: Mapping[str, str],
    ) -> Response:
        try:
            proxy = proxy_for(endpoint, self._proxies)
        except ValueError:
            raise BadResponse("the proxy is not an http or https URL") from None
        via = None if endpoint.tls else proxy
        request = _request(method, endpoint, body, via, headers)
        connection = self._take_idle(endpoint)
        if connection is not None:
            response = connection.send(request, self._release)
            try:
                return await _with_head(response, until)
            except (BadResponse, ConnectionError):
                # The server may have closed the idle connection (RFC 9112, 9.3.1). Sending the
                # request again is harmless even if it was processed.
                if response.started:
                    raise
        connect_by = min(until, asyncio.get_running_loop().time() + connect_timeout)
        try:
            async with asyncio.timeout_at(connect_by):
                connection = await self._connect(endpoint, proxy)
        except TimeoutError:
            raise ConnectTimeout from None
        return await _with_head(connection.send(request, self._release), until)

    def _take_idle(self, endpoint: Endpoint) -> Connection | None:
        for connection in reversed(self._idle):
            if connection.origin == endpoint.origin and not connection.transport.is_closing():
                self._idle.remove(connection)
                return connection
        return None

    def _release(self, connection: Connection, response: Response) -> None:
        transport = connection.transport
        if not response.reusable or transport.is_closing() or transport.get_write_buffer_size():
            # Aborting makes the model stop generating immediately.
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._idle.pop(0).transport.close()
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_time, self._close_idle)

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0].idle_since + self._idle_time <= loop.time():
            self._idle.pop(0).transport.close()
        self._sweeper = loop.call_later(self._idle_time, self._close_idle) if self._idle else None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = self._given_tls or ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def _connect(self, endpoint: Endpoint, proxy: Endpoint | None) -> Connection:
        peer = proxy or endpoint
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(peer.host, peer.port, type=SOCK_STREAM)
        connection = Connection(endpoint.origin, self._open)
        sock = await start_connection(addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY)
        try:
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls if peer.tls else None,
                server_hostname=peer.host if peer.tls else None,
            )
        except BaseException:
            sock.close()
            # uvloop does not call connection_lost if it had called connection_made already.
            self._open.discard(connection)
            raise
        if proxy is not None and endpoint.tls:
            await self._open_tunnel(connection, endpoint, proxy)
        return connection

    async def _open_tunnel(
        self, connection: Connection, endpoint: Endpoint, proxy: Endpoint
    ) -> None:
        loop = asyncio.get_running_loop()
        target = endpoint.authority
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{_proxy_authorization(proxy)}\r\n"
        try:
            response = connection.send(head.encode(), lambda connection, response: None)
            await response.receive_head(inf)
            if response.status >= 300:
                raise BadResponse(f"the proxy refused the tunnel: status {response.status}")
            response.close()
            transport = await loop.start_tls(
                connection.transport, connection, self._tls, server_hostname=endpoint.host
            )
            connection.connection_made(transport)
        except BaseException:
            connection.transport.abort()
            # Not every event loop calls connection_lost in the middle of start_tls.
            self._open.discard(connection)
            raise


async def _with_head(response: Response, until: float) -> Response:
    try:
        await response.receive_head(until)
    except BaseException:
        response.close()
        raise
    return response


def _request(
    method: str,
    endpoint: Endpoint,
    body: bytes | None,
    proxy: Endpoint | None,
    headers: Mapping[str, str],
) -> bytes:
    origin = f"http://{endpoint.host_header}" if proxy else ""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    head = (
        f"{method} {origin}{endpoint.target} HTTP/1.1\r\nHost: {endpoint.host_header}\r\n"
        f"{_proxy_authorization(proxy) if proxy else ''}{endpoint.headers}{lines}"
        f"{length}\r\n"
    )
    return head.encode() + (body or b"")


def _proxy_authorization(proxy: Endpoint) -> str:
    return f"Proxy-Authorization: {proxy.basic_auth}\r\n" if proxy.basic_auth else ""
