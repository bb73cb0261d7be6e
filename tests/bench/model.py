"""OpenAI-compatible model server that streams scripted answers.

`python -m tests.bench.model` prints its port, and exits when its standard input is closed. Lines
that start with `SCRIPT`, `STEP` or `STATS` in place of a request control it.
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

from tests.bench.script import FOLLOW_UP, HEAD, Script, end_chunk, token_chunk, whole_answer

# Seconds between two ticks of the timing wheel.
TICK = 0.002


class Stats(Struct):
    """Ticks since the script was set, their lateness (seconds at p99), and disconnected streams.

    `disconnects` maps the time of a stream's first token, in microseconds, to the time of its
    disconnect, in seconds.
    """

    ticks: int
    late: float
    disconnects: dict[int, float]


class Model:
    """Answers requests as `Script` describes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wheel: asyncio.TimerHandle | None = None
        self.set_script(Script(1))

    def set_script(self, script: Script) -> None:
        """Restart with another script."""
        if self._wheel is not None:
            self._wheel.cancel()
        self.script = script
        self.disconnects: dict[int, float] = {}
        self._answers: list[Answer] = []
        self._lateness: list[float] = []
        period = 1 / script.rate if script.rate else TICK
        self._slots = [Slot() for _ in range(max(1, round(period / TICK)))]
        self._tick = period / len(self._slots)
        self._wheel = None
        self._stepped = 0.0
        self._next = 0

    def start(self, answer: "Answer") -> None:
        """Send the first token, and schedule the others."""
        script, now = self.script, monotonic()
        if not (script.rate or script.steps):
            tokens = (token_chunk(number, now) for number in range(script.tokens))
            answer.write(HEAD + b"".join(tokens) + end_chunk(script.tokens))
            return
        answer.write(HEAD)
        answer.left, answer.first_due = script.tokens, int(now * 1e6)
        answer.send_token(now)
        if not answer.left:
            return
        self._answers.append(answer)
        self._stepped = now
        if not script.steps and len(self._answers) == script.streams:
            for number, one in enumerate(self._answers):
                self._slots[number % len(self._slots)].answers.add(one)
            self._next_tick(now + TICK, 0)

    def step(self) -> None:
        """Send the next token: to the next stream at the script's rate, or to all streams."""
        now, rate = monotonic(), self.script.rate * self.script.streams
        if rate:
            delay = max(0.0, self._stepped + 1 / rate - now)
            self._loop.call_later(delay, self._send_to_next)
        else:
            for answer in self._answers:
                answer.send_token(now)

    def disconnected(self, answer: "Answer") -> None:
        """Drop an answer whose client has disconnected."""
        self.disconnects[answer.first_due] = monotonic()
        answer.left = 0
        for slot in self._slots:
            slot.answers.discard(answer)

    def stats(self) -> Stats:
        """Return the statistics of the current script."""
        late = sorted(self._lateness)
        return Stats(len(late), late[int(len(late) * 0.99)] if late else 0.0, self.disconnects)

    def _send_to_next(self) -> None:
        self._stepped = monotonic()
        self._answers[self._next % len(self._answers)].send_token(self._stepped)
        self._next += 1

    def _next_tick(self, due: float, slot: int) -> None:
        delay = max(0.0, due - monotonic())
        self._wheel = self._loop.call_later(delay, self._tick_slots, due, slot)

    def _tick_slots(self, due: float, slot: int) -> None:
        """Send the tokens of all slots that are due."""
        while due <= (now := monotonic()):
            self._lateness.append(now - due)
            self._slots[slot].send_token(due, self.script.tokens)
            due, slot = due + self._tick, (slot + 1) % len(self._slots)
        if any(one.answers for one in self._slots):
            self._next_tick(due, slot)


class Slot:
    """Answers whose tokens are due at the same times, all at the same token number."""

    def __init__(self) -> None:
        self.answers: set[Answer] = set()
        self._number = 1

    def send_token(self, due: float, tokens: int) -> None:
        """Send the next token to all answers, and the end after the last one."""
        chunk = token_chunk(self._number, due)
        self._number += 1
        if ended := self._number == tokens:
            chunk += end_chunk(tokens)
        for answer in self.answers:
            answer.write(chunk)
            if ended:
                answer.left = 0
        if ended:
            self.answers.clear()


class Answer(asyncio.Protocol):
    """A connection and its current answer."""

    transport: asyncio.WriteTransport

    def __init__(self, model: Model) -> None:
        self._model = model
        self._received = b""
        self._number = 0
        self._socket = -1
        self.left = self.first_due = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket for direct writes."""
        self.transport = cast(asyncio.WriteTransport, transport)
        self._socket = transport.get_extra_info("socket").fileno()

    def connection_lost(self, _: Exception | None) -> None:
        """Stop the answer."""
        self._socket = -1
        if self.left:
            self._model.disconnected(self)

    def data_received(self, data: bytes) -> None:
        """Handle requests, which may arrive in parts, and control lines."""
        self._received += data
        if self._received.startswith(b"POST"):
            head, found, body = self._received.partition(b"\r\n\r\n")
            if found and len(body) >= _length(head):
                self._received, self._number = b"", 0
                if follow_up := FOLLOW_UP.search(body):
                    self.write(whole_answer(follow_up[1]))
                else:
                    self._model.start(self)
            return
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            command, _, value = line.partition(b" ")
            self._execute(command, value)

    def send_token(self, due: float) -> None:
        """Send the next token, and the end after the last one."""
        if not self.left:
            return
        chunk = token_chunk(self._number, due)
        self._number += 1
        self.left -= 1
        self.write(chunk if self.left else chunk + end_chunk(self._number))

    def write(self, data: bytes) -> None:
        """Write to the socket, or to the transport if data is buffered there.

        A write through the transport would take twice as long.
        """
        if self._socket < 0:
            return
        sent = 0
        if not self.transport.get_write_buffer_size():
            try:
                sent = os.write(self._socket, data)
            except BlockingIOError:
                pass
            except OSError:
                # The transport will report the lost connection.
                return
        if sent < len(data):
            self.transport.write(data[sent:])

    def _execute(self, command: bytes, value: bytes) -> None:
        if command == b"SCRIPT":
            self._model.set_script(msgspec.json.decode(value, type=Script))
            self.transport.write(b"OK\n")
        elif command == b"STEP":
            self._model.step()
        elif command == b"STATS":
            self.transport.write(msgspec.json.encode(self._model.stats()) + b"\n")


def _length(head: bytes) -> int:
    name = b"content-length:"
    start = head.lower().index(name) + len(name)
    return int(head[start:].split(b"\r", 1)[0])


async def serve() -> None:
    """Serve on a free port until standard input is closed."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    model = Model(loop)
    server = await loop.create_server(lambda: Answer(model), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # A garbage collection would delay ticks.
    gc.freeze()
    gc.disable()
    await ended.wait()
    # Exit without finishing the answers in progress.
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(serve())
