"""A request to a model's server comes in; its response goes out, over a connection that is kept.

Only for requests that may be repeated: one that a kept connection does not take, because the
server closes it at that moment, is sent once more over a new one.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cached_property
from math import inf
from socket import SOCK_STREAM
from types import TracebackType
from typing import cast

from aiohappyeyeballs import start_connection

from app.infra.http.content_encoding import BadResponse
from app.infra.http.endpoint import Endpoint, Origin, proxy_of
from app.infra.http.response import Response

# How many connections are kept that have no request.
MAX_IDLE = 256
# Seconds that one of a server's addresses may take before the next is tried beside it.
HAPPY_EYEBALLS_DELAY = 0.25


class HTTPClient:
    """Sends requests. It is a context manager, which closes what is kept in the end.

    `proxies` are as of `proxy_of`; `tls` is the usual context where it is None; `idle_time` is how
    many seconds, once or twice, a connection is kept without a request.
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
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._sweeper: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "HTTPClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
        connect_timeout: float,
        until: float,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a body and wait for the head of the response, which the caller is to close.

        `connect_timeout` is in seconds, `until` bounds the whole. `headers` are those of this
        request alone, each one line. Redirects are not followed.
        Raises BadResponse, and OSError (TimeoutError among them).
        """
        try:
            proxy = proxy_of(endpoint, self._proxies)
        except ValueError:
            raise BadResponse("the proxy has no address by http or https") from None
        request = _post(endpoint, body, None if endpoint.tls else proxy, headers or {})
        kept = self._take(endpoint)
        if kept is not None:
            response = kept.send(request, self._release)
            try:
                return await _headed(response, until)
            except (BadResponse, ConnectionError):
                # The server may close what is kept while a request sets out (RFC 9112, 9.3.1).
                # Had it read this one, it is asked twice: that costs an answer, no more.
                if response.begun:
                    raise
        limit = min(until, asyncio.get_running_loop().time() + connect_timeout)
        async with asyncio.timeout_at(limit):
            connection = await self._connect(endpoint, proxy)
        return await _headed(connection.send(request, self._release), until)

    def _take(self, endpoint: Endpoint) -> "_Connection | None":
        for connection in reversed(self._idle):
            if connection.origin == endpoint.origin and not connection.transport.is_closing():
                self._idle.remove(connection)
                return connection
        return None

    def _release(self, connection: "_Connection", response: Response) -> None:
        transport = connection.transport
        if not response.reusable or transport.is_closing() or transport.get_write_buffer_size():
            # The model is to stop at once, and not when it has been read to.
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._idle.pop(0).transport.close()
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_time, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0].idle_since + self._idle_time <= loop.time():
            self._idle.pop(0).transport.close()
        self._sweeper = loop.call_later(self._idle_time, self._sweep) if self._idle else None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = self._given_tls or ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def _connect(self, endpoint: Endpoint, proxy: Endpoint | None) -> "_Connection":
        peer = proxy or endpoint
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(peer.host, peer.port, type=SOCK_STREAM)
        connection = _Connection(endpoint.origin, self._open)
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
            raise
        if proxy is not None and endpoint.tls:
            await self._tunnel(connection, endpoint, proxy)
        return connection

    async def _tunnel(self, connection: "_Connection", endpoint: Endpoint, proxy: Endpoint) -> None:
        """Have the proxy pass everything on, and put TLS over that."""
        loop = asyncio.get_running_loop()
        where = endpoint.authority
        head = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n{_proxy_user(proxy)}\r\n"
        try:
            response = connection.send(head.encode(), lambda connection, response: None)
            await response.head(inf)
            if response.status >= 300:
                raise BadResponse(f"the proxy answers with status {response.status}")
            response.close()
            transport = await loop.start_tls(
                connection.transport, connection, self._tls, server_hostname=endpoint.host
            )
            connection.connection_made(transport)
        except BaseException:
            connection.transport.abort()
            # Between two transports it is not told of its end on every event loop.
            self._open.discard(connection)
            raise


class _Connection(asyncio.Protocol):
    """A connection, and the response that is on its way over it; `among` while it is open."""

    transport: asyncio.Transport

    def __init__(self, origin: Origin, among: "set[_Connection]") -> None:
        self.origin = origin
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.idle_since = 0.0
        self._among = among
        self._response: Response | None = None

    def send(self, request: bytes, closed: Callable[["_Connection", Response], None]) -> Response:
        """Send a request; `closed` is called once its response is done with."""

        def done(response: Response) -> None:
            self._response = None
            closed(self, response)

        self._response = Response(self.transport, done)
        self.transport.write(request)
        return self._response

    def connection_made(self, transport: asyncio.BaseTransport | None) -> None:
        # uvloop's transports are no subclasses.
        self.transport = cast("asyncio.Transport", transport)
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        if self._response is not None:
            self._response.feed(data)
        else:
            # Nothing was asked: whatever this is, it must not be taken for the next response.
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._among.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)
        if self._response is not None:
            self._response.connection_lost(error)


async def _headed(response: Response, until: float) -> Response:
    try:
        await response.head(until)
    except BaseException:
        response.close()
        raise
    return response


def _post(
    endpoint: Endpoint, body: bytes, proxy: Endpoint | None, headers: Mapping[str, str]
) -> bytes:
    where = f"http://{endpoint.named}" if proxy else ""
    own = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {where}{endpoint.target} HTTP/1.1\r\nHost: {endpoint.named}\r\n"
        "Accept: */*\r\nAccept-Encoding: identity\r\n"
        f"{_proxy_user(proxy) if proxy else ''}{endpoint.headers}{own}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _proxy_user(proxy: Endpoint) -> str:
    return f"Proxy-Authorization: {proxy.user}\r\n" if proxy.user else ""
