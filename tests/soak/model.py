"""An OpenAI-compatible model server that streams scripted answers at an even pace.

`python -m tests.soak.model 20` streams 20 tokens per second and prints its address. It exits when
its standard input is closed, so it never outlives its parent. `GET /stats` returns its counters.
"""

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

import msgspec
import uvloop
from msgspec import Struct

from tests.soak import script

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": %d, "completion_tokens": %d}}\n\n'
DONE = b"data: [DONE]\n\n"


class Stats(Struct):
    """Counts of open connections, and of answers requested, running and cancelled by clients."""

    connections: int = 0
    asked: int = 0
    answering: int = 0
    broken_off: int = 0


class PacedModel:
    """Streams `rate` tokens per second to each client."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._stats = Stats()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client disconnects."""
        self._stats.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._stats.connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if head.startswith("GET /stats"):
            body = msgspec.json.encode(self._stats)
            kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            writer.write(kind + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            return True
        fields = (line.partition(":") for line in head.lower().split("\r\n"))
        headers = {name: value.strip() for name, _, value in fields}
        messages = json.loads(await reader.readexactly(int(headers["content-length"])))["messages"]
        writer.write(HEAD)
        if "Rewrite" in messages[0]["content"]:
            return self._repeat(messages, writer)
        self._stats.asked += 1
        self._stats.answering += 1
        try:
            return await self._answer(messages, reader, writer)
        finally:
            self._stats.answering -= 1

    def _repeat(self, messages: list[Any], writer: asyncio.StreamWriter) -> bool:
        """Return a follow-up question unchanged, at once."""
        number = script.number_in(messages[-1]["content"]) or 0
        writer.write(_chunk(_token(script.question(number))) + _last(1))
        return True

    async def _answer(
        self, messages: list[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        tokens = script.answer(script.number_in(messages[-1]["content"]) or 0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for place, token in enumerate(tokens):
            await asyncio.sleep(began + place / self._rate - loop.time())
            # Check each time: a write to a disconnected client does not fail at once.
            if reader.at_eof() or writer.is_closing():
                self._stats.broken_off += 1
                return False
            writer.write(_chunk(_token(token)))
        writer.write(_last(len(tokens)))
        await writer.drain()
        return True


def _token(text: str) -> bytes:
    delta = {"index": 0, "delta": {"content": text}}
    return b"data: %b\n\n" % msgspec.json.encode({"choices": [delta]})


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _last(tokens: int) -> bytes:
    return _chunk(END + USAGE % (500, tokens) + DONE) + b"0\r\n\r\n"


async def serve(rate: float) -> None:
    """Answer on a free port until standard input ends."""
    ended = asyncio.Event()
    # Nothing is written there: it becomes readable when the parent has exited.
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    server = await asyncio.start_server(PacedModel(rate).connected, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    # Answers that are still running are not needed.
    os._exit(0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(float(sys.argv[1])))
