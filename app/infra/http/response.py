"""Bytes of one HTTP/1 response come in as they arrive; its status, headers and body go out.

The body is pushed to whoever wants it, in the very callback that brings it: no task is woken for
each piece.
"""

import asyncio
from collections.abc import Callable
from math import inf

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from app.infra.http.content_encoding import CODINGS, BadResponse, Inflater

# Bytes that may come in a row with none of the body's among them.
HEAD_LIMIT = 1 << 16


class Response:
    """One response on its connection: `headers` by lower-case name, `begun` with its first byte.

    All waits end with TimeoutError at their moment, in the time of the running loop.
    """

    def __init__(
        self, transport: asyncio.Transport, closed: Callable[["Response"], None] | None = None
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.begun = False
        self._transport = transport
        self._closed = closed
        self._headed = False
        self._complete = False
        self._keep_alive = False
        self._ends_with_connection = False
        self._error: Exception | None = None
        self._inflater: Inflater | None = None
        self._body: list[bytes] = []
        self._take: Callable[[bytes], float | None] | None = None
        self._bodiless = 0
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._until = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        # The parser's callback: no frame of Python's for each of the chunks that came together.
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
        """Whether the connection can take another request: nothing is left or too much on it."""
        return self._complete and self._keep_alive

    async def head(self, until: float) -> None:
        """Wait for status and headers. Raises BadResponse, OSError."""
        self._until = until
        while not self._headed:
            await self._arrival()

    async def body(self, take: Callable[[bytes], float | None], until: float) -> None:
        """Give the body to `take` as it comes, and wait for its end.

        The first piece is due at the moment `until`. Each time `take` says in how many seconds the
        next one is, or None to leave that as it was. Raises BadResponse, OSError, and whatever
        `take` raises: then it is given nothing more.
        """
        self._take, self._until = take, until
        if self._body:
            self._hand_over(take)
        while not self._complete:
            await self._arrival()
        if self._error is not None:
            raise self._error
        if self._inflater is not None and not self._inflater.ended:
            raise BadResponse("its compressed body is cut off")

    def close(self) -> None:
        """Be done with it, whole or not; nothing more is given to anyone."""
        if self._timer is not None:
            self._timer.cancel()
        # They refer to each other, and the garbage collector is not to be waited for.
        self._parser = self._take = None
        closed, self._closed = self._closed, None
        if closed is not None:
            closed(self)

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the connection."""
        self.begun = True
        if self._parser is None or self._complete or self._error is not None:
            self._keep_alive = False
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._keep_alive = False
            if not self._complete:
                self._fail(BadResponse("what came is not HTTP"))
        if self._body:
            self._bodiless = 0
            if self._take is not None:
                self._hand_over(self._take)
        else:
            self._bodiless += len(data)
            if self._bodiless > HEAD_LIMIT and not self._complete:
                self._fail(BadResponse("its headers are too large"))
        if self._complete or self._error is not None or self._take is None:
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Take the connection's end, which is the body's where nothing else tells of that."""
        if self._complete:
            self._keep_alive = False
        elif self._ends_with_connection and error is None and self._error is None:
            self._complete = True
        else:
            known = isinstance(error, OSError)
            self._fail(error if known else BadResponse("the connection ended before the response"))
        self._wake()

    def _hand_over(self, take: Callable[[bytes], float | None]) -> None:
        """Give what there is of the body to whoever wants it."""
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        try:
            pieces = (data,) if self._inflater is None else self._inflater.inflate(data)
            for piece in pieces:
                seconds = take(piece)
                if seconds is not None:
                    self._until = self._loop.time() + seconds
        except Exception as error:
            # Whoever waits for the body's end is told: here is only the event loop.
            self._take = None
            self._fail(error)
        else:
            if self._until < self._timer_at and self._waiter is not None:
                self._set_timer()

    def _arrival(self) -> asyncio.Future[None]:
        """Return what is done when something has come, which need not be of the body."""
        if self._error is not None:
            raise self._error
        if self._until < self._timer_at:
            # Here too: a timer may always find that something has just come.
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
        self._timer = self._loop.call_at(self._until, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        # One timer for all waits, which moves on when it fires: not one for every token.
        self._timer_at = inf
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._until:
            self._set_timer()
        else:
            self._waiter.set_exception(TimeoutError())

    def _fail(self, error: Exception | None) -> None:
        self._error = self._error or error
        self._keep_alive = False

    def on_message_begin(self) -> None:
        """Stop the parser where a message begins after the whole one: it is nobody's answer."""
        if self._complete:
            raise BadResponse("another response follows")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; one that comes again is added after a comma. Trailers are passed over."""
        if self._headed:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Take the head, unless it is one of those that only precede the response's own."""
        assert self._parser is not None  # noqa: S101
        status = self._parser.get_status_code()
        if status < 200:
            self.headers.clear()
            return
        transfer = self.headers.get("transfer-encoding", "chunked").lower()
        content = self.headers.get("content-encoding", "identity").lower()
        if transfer != "chunked" or content not in CODINGS:
            self._fail(BadResponse("its coding is not known"))
            return
        if content != "identity":
            self._inflater = Inflater()
        framed = "transfer-encoding" in self.headers or "content-length" in self.headers
        self._ends_with_connection = not framed
        self._keep_alive = self._parser.should_keep_alive()
        self.status = status
        self._headed = True

    def on_message_complete(self) -> None:
        """Take the end of the body."""
        self._complete = self._headed
