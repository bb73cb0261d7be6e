"""A connection of the HTTP client."""

import asyncio
from collections.abc import Callable
from typing import cast

from app.infra.http.endpoint import Origin
from app.infra.http.response import Response


class Connection(asyncio.Protocol):
    """A connection with at most one response at a time; it is in `open_connections` while open.

    `idle_since` is in the time of the running event loop; `lost` is done once it is closed.
    """

    transport: asyncio.Transport

    def __init__(self, origin: Origin, open_connections: "set[Connection]") -> None:
        self.origin = origin
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.idle_since = 0.0
        self._open_connections = open_connections
        self._response: Response | None = None

    def send(self, request: bytes, on_close: Callable[["Connection", Response], None]) -> Response:
        """Send a request; `on_close` is called when its response is closed."""

        def closed(response: Response) -> None:
            self._response = None
            on_close(self, response)

        self._response = Response(closed)
        self.transport.write(request)
        return self._response

    def connection_made(self, transport: asyncio.BaseTransport | None) -> None:
        """Store the transport; called again after an upgrade to TLS."""
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self._open_connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes to the response."""
        if self._response is not None:
            self._response.feed(data)
        else:
            # Unrequested bytes must not become part of the next response.
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Report the end of the connection to the response."""
        self._open_connections.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)
        if self._response is not None:
            self._response.connection_lost(error)
