"""An OpenAI-compatible model server that streams scripted answers with little CPU.

`python -m tests.bench.model` prints its port, and exits when its standard input is closed. A line
that starts with `SCRIPT`, `STEP` or `STATS` instead of a request controls it.
"""

import asyncio
import gc
import os
import sys
from time import monotonic
from typing import cast

import msgspec
import uvloop
from msgspec import Struct

from tests.bench.script import FOLLOW_UP, HEAD, Script, last, token, written

# Seconds between two ticks of the timer wheel.
TICK = 0.002


class Stats(Struct):
    """Since the script was set: ticks, their lateness (s at p99), and the cancelled streams.

    A cancelled stream has the due time of its first token, in microseconds, and the time of its
    cancellation, in seconds.
    """

    ticks: int
    late: float
    broken_off: dict[int, float]


class Model:
    """Answers every client according to the script; see `Script`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wheel: asyncio.TimerHandle | None = None
        self.follow(Script(1))

    def follow(self, script: Script) -> None:
        """Start again with another script."""
        if self._wheel is not None:
            self._wheel.cancel()
        self.script = script
        self.broken_off: dict[int, float] = {}
        self._asked: list[Answer] = []
        self._lateness: list[float] = []
        period = 1 / script.rate if script.rate else TICK
        self._slots = [Slot() for _ in range(max(1, round(period / TICK)))]
        self._tick = period / len(self._slots)
        self._wheel = None
        self._stepped = 0.0
        self._next = 0

    def asked(self, answer: "Answer") -> None:
        """Send the first token, and the others according to the script."""
        script, now = self.script, monotonic()
        if not (script.rate or script.steps):
            tokens = (token(place, now) for place in range(script.tokens))
            answer.put(HEAD + b"".join(tokens) + last(script.tokens))
            return
        answer.put(HEAD)
        answer.left, answer.began = script.tokens, int(now * 1e6)
        answer.say(now)
        if not answer.left:
            return
        self._asked.append(answer)
        self._stepped = now
        if not script.steps and len(self._asked) == script.streams:
            for place, one in enumerate(self._asked):
                self._slots[place % len(self._slots)].answers.add(one)
            self._next_tick(now + TICK, 0)

    def step(self) -> None:
        """Send the next token to the next stream when it is due, or to all streams."""
        now, rate = monotonic(), self.script.rate * self.script.streams
        if rate:
            delay = max(0.0, self._stepped + 1 / rate - now)
            self._loop.call_later(delay, self._say_to_next)
        else:
            for answer in self._asked:
                answer.say(now)

    def gone(self, answer: "Answer") -> None:
        """Remove an answer whose client has disconnected."""
        self.broken_off[answer.began] = monotonic()
        answer.left = 0
        for slot in self._slots:
            slot.answers.discard(answer)

    def stats(self) -> Stats:
        """Return the statistics."""
        late = sorted(self._lateness)
        return Stats(len(late), late[int(len(late) * 0.99)] if late else 0.0, self.broken_off)

    def _say_to_next(self) -> None:
        self._stepped = monotonic()
        self._asked[self._next % len(self._asked)].say(self._stepped)
        self._next += 1

    def _next_tick(self, due: float, slot: int) -> None:
        delay = max(0.0, due - monotonic())
        self._wheel = self._loop.call_later(delay, self._turn, due, slot)

    def _turn(self, due: float, place: int) -> None:
        """Send the tokens of all slots that are due."""
        while due <= (now := monotonic()):
            self._lateness.append(now - due)
            self._slots[place].say(due, self.script.tokens)
            due, place = due + self._tick, (place + 1) % len(self._slots)
        if any(slot.answers for slot in self._slots):
            self._next_tick(due, place)


class Slot:
    """Answers whose tokens are due at the same times; all are at the same position."""

    def __init__(self) -> None:
        self.answers: set[Answer] = set()
        self._place = 1

    def say(self, due: float, tokens: int) -> None:
        """Send the next token to all, encoded once, and the end after the last."""
        chunk = token(self._place, due)
        self._place += 1
        if ended := self._place == tokens:
            chunk += last(tokens)
        for answer in self.answers:
            answer.put(chunk)
            if ended:
                answer.left = 0
        if ended:
            self.answers.clear()


class Answer(asyncio.Protocol):
    """A connection and its answer."""

    transport: asyncio.WriteTransport

    def __init__(self, model: Model) -> None:
        self._model = model
        self._received = b""
        self._place = 0
        self._socket = -1
        self.left = self.began = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.WriteTransport, transport)
        self._socket = transport.get_extra_info("socket").fileno()

    def connection_lost(self, _: Exception | None) -> None:
        """Stop the answer."""
        self._socket = -1
        if self.left:
            self._model.gone(self)

    def data_received(self, data: bytes) -> None:
        """Parse requests, complete or in parts, and control lines."""
        self._received += data
        if self._received.startswith(b"POST"):
            head, found, body = self._received.partition(b"\r\n\r\n")
            if found and len(body) >= _length(head):
                self._received, self._place = b"", 0
                if follow_up := FOLLOW_UP.search(body):
                    self.put(written(follow_up[1]))
                else:
                    self._model.asked(self)
            return
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            order, _, value = line.partition(b" ")
            self._obey(order, value)

    def say(self, due: float) -> None:
        """Send the next token, due at this time, and the end after the last."""
        if not self.left:
            return
        chunk = token(self._place, due)
        self._place += 1
        self.left -= 1
        self.put(chunk if self.left else chunk + last(self._place))

    def put(self, data: bytes) -> None:
        """Write to the socket directly if the transport's buffer is empty: it is faster."""
        if self._socket < 0:
            return
        sent = 0
        if not self.transport.get_write_buffer_size():
            try:
                sent = os.write(self._socket, data)
            except BlockingIOError:
                pass
            except OSError:
                # The transport will notice soon, too.
                return
        if sent < len(data):
            self.transport.write(data[sent:])

    def _obey(self, order: bytes, value: bytes) -> None:
        if order == b"SCRIPT":
            self._model.follow(msgspec.json.decode(value, type=Script))
            self.transport.write(b"OK\n")
        elif order == b"STEP":
            self._model.step()
        elif order == b"STATS":
            self.transport.write(msgspec.json.encode(self._model.stats()) + b"\n")


def _length(head: bytes) -> int:
    name = b"content-length:"
    at = head.lower().index(name) + len(name)
    return int(head[at:].split(b"\r", 1)[0])


async def serve() -> None:
    """Answer on a free port until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    model = Model(loop)
    server = await loop.create_server(lambda: Answer(model), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Garbage collection would make it late.
    gc.freeze()
    gc.disable()
    await ended.wait()
    # Answers that are still running are not needed.
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(serve())
