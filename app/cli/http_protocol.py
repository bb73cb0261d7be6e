"""HTTP/1.1 with limits on heads, pipelines and idle connections, for clients of all kinds."""

import logging
from asyncio import Transport
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from app.cli.connections import Connections
from app.handlers.access import PEER

log = logging.getLogger(__name__)

# The longest URL that the service accepts has 14.4 KB. In bytes, with all headers; as much again
# may frame a chunked body.
HEAD_LIMIT = 32 * 1024
HEADER_LIMIT = 100
# Requests that wait for the response to an earlier one.
PIPELINE_LIMIT = 32
# Bytes parsed at once, by which a head may exceed its limit.
PIECE = 16 * 1024

INVALID = (400, "Invalid HTTP request received.")
HEAD_TOO_LARGE = (431, f"The request line and headers may have at most {HEAD_LIMIT} bytes.")
TOO_MANY_HEADERS = (431, f"A request may have at most {HEADER_LIMIT} headers.")
TOO_MANY_CONNECTIONS = (503, "Too many connections. Try again in a few seconds.")

# Seconds after a client has closed its sending side at which the application is woken. It may have
# closed the whole connection, which looks the same. Then the first write makes the client reset the
# connection, and the next write fails.
PROBES = (0, 0.1, 1)


class _Refused(Exception):
    """A request to refuse; its arguments are the status and the reason."""


class HttpProtocol(HttpToolsProtocol):
    """A connection that serves offers of an upgrade, such as h2c, with HTTP/1.1.

    The parser ends a request that offers an upgrade after its headers. uvicorn would serve it
    without its body, so it is parsed again without the offer.

    A client that closes its sending side still receives its response. `receive` returns further
    empty body messages then, which tell a long response to write something.

    uvicorn's keep-alive timer also limits the time for a head, and a body that is still arriving
    when its response is complete.
    """

    def __init__(self, *arguments: Any, connections: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._counted_by = connections
        self.timeout_keep_alive = connections.limits.keep_alive  # type: ignore[assignment]
        self._caller: str | None = None
        self._admitted = False
        # The request being served; uvicorn's `cycle` is the latest one.
        self._running: RequestResponseCycle | None = None
        self._in_head = False
        self._head_is_timed = False
        # Bytes of the head, or of what frames the body, that came after their first piece.
        self._overhead = 0
        # Whether to ignore what the client still sends.
        self._ended = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Refuse the connection if there are too many; else wait for a request."""
        super().connection_made(transport)
        if self.client and self.client[0].startswith("::ffff:"):
            # An IPv4 client of a socket that serves IPv6 too.
            self.client = (self.client[0].removeprefix("::ffff:"), self.client[1])
        descriptor = transport.get_extra_info("socket").fileno()
        self._caller = self._counted_by.caller(self.client[0]) if self.client else None
        metrics = self.app_state["metrics"]
        self._admitted = self._counted_by.admit(self._caller, descriptor, metrics)
        if self._admitted:
            self._set_deadline()
        else:
            self._end_with(*TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnect all requests, also those that wait for another."""
        if self._admitted:
            self._counted_by.remove(self._caller)
        self._disconnect_requests()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Parse data from the client."""
        for start in range(0, len(data), PIECE):
            if self._ended:
                return
            self._parse(data[start : start + PIECE])

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection open if a complete request is still to be answered."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return None
        cycle.keep_alive = False
        for delay in PROBES:
            self.loop.call_later(delay, cycle.message_event.set)
        return True

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = True
        self._overhead = -PIECE
        super().on_message_begin()
        # The peer, which a proxy's headers do not change.
        self.scope["extensions"] = {PEER: {"address": self.client[0] if self.client else ""}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers after a chunked body are ignored."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve the request, unless a limit is exceeded."""
        if len(self.headers) > HEADER_LIMIT:
            raise _Refused(*TOO_MANY_HEADERS)
        # Each header also has a colon, a space and a line break.
        length = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.url) + length > HEAD_LIMIT:
            raise _Refused(*HEAD_TOO_LARGE)
        if len(self.pipeline) >= PIPELINE_LIMIT:
            self._end_after_requests()
            raise _Refused(*INVALID)
        self._in_head = self._head_is_timed = False
        self._overhead = -PIECE
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Add to the request's body."""
        self._overhead -= len(body)
        super().on_body(body)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._unset_keepalive_if_required()
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        """Return whether to ignore the request: it will be parsed again, or refused."""
        return True

    def _parse(self, piece: bytes) -> None:
        self._overhead += len(piece)
        while piece:
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                # The parser treats CONNECT as an upgrade too, also if it is parsed again.
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(*INVALID)
                    return
                piece = self._head_without_upgrade() + piece[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError as error:
                # The parser wraps what its callbacks raise.
                reason = error.__context__
                if not self._ended:
                    self._refuse(*(reason.args if isinstance(reason, _Refused) else INVALID))
                return
            else:
                break
        if self._overhead > HEAD_LIMIT:
            self._refuse(*HEAD_TOO_LARGE)
        elif self._in_head and not self._head_is_timed and self._is_idle():
            self._head_is_timed = True
            self._set_deadline()

    def _is_idle(self) -> bool:
        return self._running is None or self._running.response_complete

    def _set_deadline(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self._counted_by.limits.head_timeout, self.timeout_keep_alive_handler
        )

    def _refuse(self, status: int, reason: str) -> None:
        log.warning("request refused: %d %s", status, reason)
        if self._is_idle():
            self._end_with(status, reason)
        elif not self.cycle.more_body:
            self._end_after_requests()
        else:
            # The request that is malformed has begun.
            has_no_response = self._running is self.cycle and not self.cycle.response_started
            self._disconnect_requests()
            self._end_with(status, reason if has_no_response else "")

    def _end_after_requests(self) -> None:
        self._ended = True
        self.cycle.keep_alive = False

    def _end_with(self, status: int, reason: str) -> None:
        """Close the connection, after a response if there is a reason to give."""
        self._ended = True
        if reason:
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            length = b"content-length: %d\r\n\r\n" % len(reason)
            self.transport.write(STATUS_LINE[status] + head + length + reason.encode())
        self.transport.close()

    def _disconnect_requests(self) -> None:
        """Let running and waiting requests end without writing anything."""
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                options = (option.strip() for option in value.lower().split(b","))
                value = b", ".join(
                    it for it in options if it not in (b"upgrade", b"http2-settings")
                )
            if name not in (b"upgrade", b"http2-settings"):
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join(lines) + b"\r\n\r\n"
