"""HTTP/1.1 for clients that offer an upgrade, and for clients that close their sending side."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.handlers.access import PEER

INVALID_REQUEST = "Invalid HTTP request received."

# Seconds after a client has closed its sending side at which the application is woken. It may have
# closed the whole connection, which looks the same. Then the first write makes the client reset the
# connection, and the next write fails.
PROBES = (0, 0.1, 1)


class HttpProtocol(HttpToolsProtocol):
    """A connection that serves offers of an upgrade, such as h2c, with HTTP/1.1.

    The parser ends a request that offers an upgrade after its headers. uvicorn would serve it
    without its body, so it is parsed again without the offer.

    A client that closes its sending side still receives its response. `receive` returns further
    empty body messages then, which tell a long response to write something.
    """

    def data_received(self, data: bytes) -> None:
        """Parse data from the client."""
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The parser treats CONNECT as an upgrade too, also if it is parsed again.
                if self.parser.get_method() == b"CONNECT":
                    self._refuse()
                    return
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self._refuse()
                return
            else:
                return

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
        """Begin a request; record the peer, which a proxy's headers do not change."""
        super().on_message_begin()
        self.scope["extensions"] = {PEER: {"address": self.client[0] if self.client else ""}}

    def _should_upgrade(self) -> bool:
        """Return whether to ignore the request: it will be parsed again, or refused."""
        return True

    def _refuse(self) -> None:
        self.logger.warning(INVALID_REQUEST)
        self.send_400_response(INVALID_REQUEST)

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
