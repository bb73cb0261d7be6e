"""OpenAI-compatible model server that streams answers at a constant rate.

`python -m tests.soak.model 20` streams 20 tokens a second and prints its address. It exits when its
standard input is closed, so that it does not outlive its parent. `GET /stats` returns `Stats`.
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
    """Open connections; answers requested, in progress, and cut off by clients."""

    connections: int = 0
    requested: int = 0
    in_progress: int = 0
    cut_off: int = 0


class PacedModel:
    """Streams each answer at `rate` tokens a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._stats = Stats()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it is closed."""
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
        self._stats.requested += 1
        self._stats.in_progress += 1
        try:
            return await self.answer(messages, reader, writer)
        finally:
            self._stats.in_progress -= 1

    def _repeat(self, messages: list[Any], writer: asyncio.StreamWriter) -> bool:
        """Answer a request to rewrite a follow-up with the question as it is, at once."""
        number = script.number_in(messages[-1]["content"]) or 0
        writer.write(chunk(content(script.question(number))) + end(1))
        return True

    async def answer(
        self, messages: list[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Stream the answer; return whether the connection stays open."""
        tokens = script.answer(script.number_in(messages[-1]["content"]) or 0)
        loop = asyncio.get_running_loop()
        started = loop.time()
        for position, token in enumerate(tokens):
            await asyncio.sleep(started + position / self._rate - loop.time())
            # A write to a disconnected client does not fail at once, so check before each.
            if reader.at_eof() or writer.is_closing():
                self._stats.cut_off += 1
                return False
            writer.write(chunk(content(token)))
        writer.write(end(len(tokens)))
        await writer.drain()
        return True


def content(text: str) -> bytes:
    """Return the event of a token."""
    delta = {"index": 0, "delta": {"content": text}}
    return b"data: %b\n\n" % msgspec.json.encode({"choices": [delta]})


def chunk(data: bytes) -> bytes:
    """Frame a chunk of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def end(tokens: int) -> bytes:
    """Return the end of an answer, and of the body."""
    return chunk(END + USAGE % (500, tokens) + DONE) + b"0\r\n\r\n"


async def serve(model: PacedModel) -> None:
    """Serve on a free port until standard input is closed."""
    ended = asyncio.Event()
    # Standard input becomes readable only when the parent closes it or exits.
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    server = await asyncio.start_server(model.connected, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    # Exit without finishing the answers in progress.
    os._exit(0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(PacedModel(float(sys.argv[1]))))
