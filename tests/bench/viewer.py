"""Read one response with the arrival times of its bytes, and find faults and late tokens."""

import asyncio
import os
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from time import monotonic
from typing import cast

from msgspec import Struct

from tests.bench.script import END, TOKEN

# More than a lazy reader receives at once.
MOST = 1 << 18


class Seen(Struct):
    """One response: its fault, if any; seconds to `sources` and to the first token; its tokens.

    Each token has the time it was due and its lateness, in seconds. A lazy viewer only counts
    tokens.
    """

    fault: str
    sources: float
    first_token: float
    count: int
    tokens: list[tuple[float, float]]


class Viewer(asyncio.Protocol):
    """Asks one question and keeps the response, to be parsed at the end.

    A lazy viewer reads only when `read` is called, after its first token.
    """

    def __init__(
        self,
        request: bytes,
        tokens: int,
        on_token: Callable[[], None],
        on_end: Callable[[], None],
        *,
        lazy: bool = False,
    ) -> None:
        self._request = request
        self._tokens = tokens
        self._on_token, self._on_end = on_token, on_end
        self._parts: list[bytes] = []
        self._times: list[float] = []
        self._began = 0.0
        self._ended = False
        self.lazy = lazy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the question."""
        self._transport = cast(asyncio.Transport, transport)
        self._began = monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Keep the data and its time."""
        self._keep(data)
        if len(self._parts) == 1 and not data.startswith(b"HTTP/1.1 200 "):
            self._transport.close()
        if b"event: token" in data:
            if self.lazy:
                self._transport.pause_reading()
            self._on_token()

    def read(self) -> None:
        """Keep everything that arrived since the last call."""
        try:
            data = os.read(self._transport.get_extra_info("socket").fileno(), MOST)
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
        # A head may end with a zero too.
        if data == END or data.endswith(b"\n" + END):
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """Report the end, whatever its cause."""
        if not self._ended:
            self._ended = True
            self._on_end()

    def seen(self) -> Seen:
        """Parse the response."""
        reply = b"".join(self._parts)
        ends = list(accumulate(map(len, self._parts)))
        found = list(TOKEN.finditer(reply))
        if fault := self._fault(reply, [int(one[1]) for one in found]):
            return Seen(fault, 0, 0, 0, [])

        def came(place: int) -> float:
            return self._times[bisect_left(ends, place)]

        sources = came(reply.index(b"\n\n", reply.index(b"event: sources")) + 2) - self._began
        first_token = came(found[0].end()) - self._began
        looked = () if self.lazy else found
        tokens = [(due, came(one.end()) - due) for one in looked for due in (int(one[2]) / 1e6,)]
        return Seen("", sources, first_token, len(found), tokens)

    def _fault(self, reply: bytes, places: list[int]) -> str:
        if not reply.startswith(b"HTTP/1.1 200 "):
            return f"no answer: {reply[:200]!r}"
        if b"event: sources" not in reply:
            return "no sources"
        if places != list(range(self._tokens)):
            return f"not all {self._tokens} tokens in their order: {len(places)} came"
        if b"event: done" not in reply or reply.rindex(b"event: done") < reply.rindex(
            b"event: tok"
        ):
            return "no done after the last token"
        return "" if reply.endswith(END) else "the reply was cut off"
