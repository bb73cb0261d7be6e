"""A client of one chat: records the bytes of the reply with their times, and checks them."""

import asyncio
import os
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from time import monotonic
from typing import cast

from msgspec import Struct

from tests.bench.script import END, TOKEN

# More bytes than a polled viewer finds at once.
MAX_READ = 1 << 18


class ViewerResult(Struct):
    """One reply: its fault or "", seconds to `sources` and to the first token, and its tokens.

    `tokens` has (time due, lateness) in seconds; it is empty for a polled viewer, which only
    counts them.
    """

    fault: str
    sources: float
    first_token: float
    count: int
    tokens: list[tuple[float, float]]


class Viewer(asyncio.Protocol):
    """Asks one question and keeps the reply, with as little work as possible until `result`.

    If `polled`, it reads only in `read` after the first token.
    """

    def __init__(
        self,
        request: bytes,
        tokens: int,
        on_token: Callable[[], None],
        on_end: Callable[[], None],
        *,
        polled: bool = False,
    ) -> None:
        self._request = request
        self._tokens = tokens
        self._on_token, self._on_end = on_token, on_end
        self._parts: list[bytes] = []
        self._times: list[float] = []
        self._started = 0.0
        self._ended = False
        self._polled = polled

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast(asyncio.Transport, transport)
        self._started = monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Keep the data, and report a token."""
        self._keep(data)
        if len(self._parts) == 1 and not data.startswith(b"HTTP/1.1 200 "):
            self._transport.close()
        if b"event: token" in data:
            if self._polled:
                self._transport.pause_reading()
            self._on_token()

    def read(self) -> None:
        """Keep what has arrived since the last read."""
        try:
            data = os.read(self._transport.get_extra_info("socket").fileno(), MAX_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._keep(data)
        else:
            self._transport.close()

    def _keep(self, data: bytes) -> None:
        self._times.append(monotonic())
        self._parts.append(data)
        # The preceding newline tells the end from response headers that end in a zero.
        if data == END or data.endswith(b"\n" + END):
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """Report the end, once."""
        if not self._ended:
            self._ended = True
            self._on_end()

    def result(self) -> ViewerResult:
        """Check the whole reply."""
        reply = b"".join(self._parts)
        ends = list(accumulate(map(len, self._parts)))
        tokens = list(TOKEN.finditer(reply))
        if fault := self._fault(reply, [int(token[1]) for token in tokens]):
            return ViewerResult(fault, 0, 0, 0, [])

        def received_at(offset: int) -> float:
            return self._times[bisect_left(ends, offset)]

        sources_end = reply.index(b"\n\n", reply.index(b"event: sources")) + 2
        return ViewerResult(
            fault="",
            sources=received_at(sources_end) - self._started,
            first_token=received_at(tokens[0].end()) - self._started,
            count=len(tokens),
            tokens=[
                (due, received_at(token.end()) - due)
                for token in (() if self._polled else tokens)
                for due in (int(token[2]) / 1e6,)
            ],
        )

    def _fault(self, reply: bytes, numbers: list[int]) -> str:
        if not reply.startswith(b"HTTP/1.1 200 "):
            return f"no answer: {reply[:200]!r}"
        if b"event: sources" not in reply:
            return "no sources"
        if numbers != list(range(self._tokens)):
            return f"expected {self._tokens} tokens in order, received {len(numbers)}"
        if b"event: done" not in reply or reply.rindex(b"event: done") < reply.rindex(
            b"event: tok"
        ):
            return "no done after the last token"
        return "" if reply.endswith(END) else "the reply was cut off"
