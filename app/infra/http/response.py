"""Parse an HTTP/1 response as its bytes arrive.

The body is passed to a callback within the call that received it: no task is woken for each piece.
"""

import asyncio
from collections.abc import Callable
from math import inf

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from app.infra.http.content_encoding import Decompressor, decompressor_for
from app.infra.http.errors import BadResponse, ResponseTooLarge

# Bytes that may arrive in a row without any of the body: status line, headers, trailers.
HEAD_LIMIT = 1 << 16


class Response:
    """One response on a connection; `headers` are by lower-case name.

    `started` is set once its first byte has arrived. Deadlines (`until`) are in the time of the
    running event loop; a wait that reaches its deadline raises TimeoutError.
    """

    def __init__(self, on_close: Callable[["Response"], None] | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.started = False
        self._on_close = on_close
        self._head_complete = False
        self._complete = False
        self._keep_alive = False
        self._ends_with_connection = False
        self._error: Exception | None = None
        self._decompressor: Decompressor | None = None
        self._body: list[bytes] = []
        self._on_data: Callable[[bytes], float | None] | None = None
        self._bytes_without_body = 0
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._until = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        # The parser's callback: appending directly avoids a Python call per chunk.
        self.on_body = self._body.append
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    @property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def reusable(self) -> bool:
        """Whether the connection can take another request: it has no unread or extra bytes."""
        return self._complete and self._keep_alive

    async def receive_head(self, until: float) -> None:
        """Wait for the status and headers. Raises BadResponse, OSError."""
        self._until = until
        while not self._head_complete:
            await self._wait()

    async def receive_body(self, on_data: Callable[[bytes], float | None], until: float) -> None:
        """Pass the body to `on_data` as it arrives, and wait for its end.

        The first piece must arrive by `until`. `on_data` returns the seconds within which the next
        one must arrive, or None to keep the deadline. Raises BadResponse, OSError, and what
        `on_data` raises, which ends the body.
        """
        self._on_data, self._until = on_data, until
        if self._body:
            self._deliver(on_data)
        while not self._complete:
            await self._wait()
        if self._error is not None:
            raise self._error
        if self._decompressor is not None and not self._decompressor.complete:
            raise BadResponse("the compressed body is truncated")

    async def read(self, until: float, limit: int) -> bytes:
        """Return the whole body, which must arrive by `until`.

        Raises ResponseTooLarge if it has more than `limit` bytes, BadResponse, OSError.
        """
        body = bytearray()

        def append(data: bytes) -> None:
            if len(body) + len(data) > limit:
                raise ResponseTooLarge(f"the body is larger than {limit} bytes")
            body.extend(data)

        await self.receive_body(append, until)
        return bytes(body)

    def close(self) -> None:
        """Release the connection, and drop the rest of the body."""
        if self._timer is not None:
            self._timer.cancel()
        # Breaks the reference cycles, so that memory is freed without the garbage collector.
        self._parser = self._on_data = None
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close(self)

    def feed(self, data: bytes) -> None:
        """Parse the next bytes from the connection."""
        self.started = True
        if self._parser is None or self._complete or self._error is not None:
            self._keep_alive = False
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._keep_alive = False
            if not self._complete:
                self._fail(BadResponse("the response is not valid HTTP"))
        if self._body:
            self._bytes_without_body = 0
            if self._on_data is not None:
                self._deliver(self._on_data)
        else:
            self._bytes_without_body += len(data)
            if self._bytes_without_body > HEAD_LIMIT and not self._complete:
                self._fail(BadResponse("the headers are too large"))
        if self._complete or self._error is not None or self._on_data is None:
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Handle the end of the connection, which may be the end of the body."""
        if self._complete:
            self._keep_alive = False
        elif self._ends_with_connection and error is None and self._error is None:
            self._complete = True
        elif isinstance(error, OSError):
            self._fail(error)
        else:
            self._fail(BadResponse("the connection was closed before the end of the response"))
        self._wake()

    def _deliver(self, on_data: Callable[[bytes], float | None]) -> None:
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        try:
            decompressor = self._decompressor
            for piece in (data,) if decompressor is None else decompressor.decompress(data):
                seconds = on_data(piece)
                if seconds is not None:
                    self._until = self._loop.time() + seconds
        except Exception as error:
            # The task that waits for the body raises it: the caller here is the event loop.
            self._on_data = None
            self._fail(error)
        else:
            if self._until < self._timer_at and self._waiter is not None:
                self._set_timer()

    def _wait(self) -> asyncio.Future[None]:
        """Return a future that is done once something has arrived, not necessarily body bytes."""
        if self._error is not None:
            raise self._error
        if self._until < self._timer_at:
            # The timer alone might never raise: something may have arrived each time it fires.
            if self._until <= self._loop.time():
                raise TimeoutError
            self._set_timer()
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._until
        self._timer = self._loop.call_at(self._until, self._check_deadline)

    def _check_deadline(self) -> None:
        # The deadline moves with each token; the timer is only set again when it fires.
        self._timer_at = inf
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._until:
            self._set_timer()
        else:
            self._waiter.set_exception(TimeoutError())

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._keep_alive = False

    def on_message_begin(self) -> None:
        """Reject a second response: there was only one request."""
        if self._complete:
            raise BadResponse("a second response follows")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; repeated ones are joined by commas. Trailers are ignored."""
        if self._head_complete:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Check the headers and read the status; informational (1xx) responses are skipped."""
        assert self._parser is not None  # noqa: S101
        status = self._parser.get_status_code()
        if status < 200:
            self.headers.clear()
            return
        if self.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            self._fail(BadResponse("the transfer encoding is not supported"))
            return
        if encoding := self.headers.get("content-encoding"):
            try:
                self._decompressor = decompressor_for(encoding)
            except BadResponse as error:
                self._fail(error)
                return
        framed = "transfer-encoding" in self.headers or "content-length" in self.headers
        self._ends_with_connection = not framed
        self._keep_alive = self._parser.should_keep_alive()
        self.status = status
        self._head_complete = True

    def on_message_complete(self) -> None:
        """Record the end of the body."""
        self._complete = self._head_complete
