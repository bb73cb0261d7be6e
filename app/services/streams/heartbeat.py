"""Streams come in while they are open; the silent ones have to ping, the stuck ones to give up.

One clock for all streams of a worker, and only while there are any: a time-out and a task for each
stream cost more than all else that is done for it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

# The longest time, in seconds, from one look at the streams to the next.
LONGEST_STEP = 0.5
# So many looks at least in the shortest time that is measured by them.
LOOKS = 4


class OpenStream(Protocol):
    """A stream to a viewer; `silent` are the seconds since its last send, which sets them to 0."""

    silent: float

    @property
    def sending(self) -> bool:
        """Whether a send is under way."""
        ...

    def ping(self) -> None:
        """Send something that says nothing."""
        ...

    def give_up(self) -> None:
        """End the send that is under way, and the stream; it may be told so again."""
        ...


class Heartbeat:
    """Has streams that sent nothing for `every` seconds ping, and ends sends after `send_timeout`.

    `look` is called with each look at the streams.
    """

    def __init__(self, *, every: float, send_timeout: float, look: Callable[[], None]) -> None:
        self._every = every
        self._send_timeout = send_timeout
        self._look = look
        self._step = min(LONGEST_STEP, every / LOOKS, send_timeout / LOOKS)
        self._streams: set[OpenStream] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def watching(self, stream: OpenStream) -> Iterator[None]:
        """Look after a stream for as long as it is open."""
        self._streams.add(stream)
        if self._timer is None:
            self._wait()
        try:
            yield
        finally:
            self._streams.discard(stream)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._step, self._beat)

    def _beat(self) -> None:
        self._timer = None
        if self._streams:
            # Before all else: whatever goes wrong below, all streams depend on the next beat.
            self._wait()
        for stream in self._streams:
            stream.silent += self._step
            if stream.sending:
                if stream.silent > self._send_timeout:
                    stream.give_up()
            elif stream.silent >= self._every:
                stream.ping()
        self._look()
