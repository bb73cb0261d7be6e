"""Minimal server, the lower bound of a benchmark: passes the model's tokens on as events.

`python -m tests.bench.floor PORT MODEL_PORT`. It consists of two hand-written protocols on uvloop
and httptools, without database, memory, timeouts or checks. It is frozen: do not change it.
"""

import asyncio
import secrets
import sys
from collections.abc import Callable
from typing import cast

import httptools
import msgspec
import uvloop
from msgspec import Struct

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
ALIVE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PROMPT = "You answer questions about what creators have published.\n" * 60


class Delta(Struct):
    content: str = ""


class Choice(Struct):
    delta: Delta


class Chunk(Struct):
    choices: list[Choice] = []


class Question(Struct):
    query: str


CHUNK = msgspec.json.Decoder(Chunk)
QUESTION = msgspec.json.Decoder(Question)


class ModelConnection(asyncio.Protocol):
    """A connection to the model; `take(data, ended)` is called with the body of the reply."""

    take: Callable[[bytes, bool], None]
    transport: asyncio.Transport

    def __init__(self, idle: list["ModelConnection"]) -> None:
        self._idle = idle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, query: str, take: Callable[[bytes, bool], None]) -> None:
        self.take = take
        self._parser = httptools.HttpResponseParser(self)
        messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": query}]
        asked = {"model": "scripted", "messages": messages, "stream": True}
        body = msgspec.json.encode(asked)
        self.transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: model\r\nContent-Type: application/json"
            b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        self._body: list[bytes] = []
        self._ended = False
        self._parser.feed_data(data)
        if self._ended:
            self._idle.append(self)
        self.take(b"".join(self._body), self._ended)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._ended = True


class ViewerConnection(asyncio.Protocol):
    """A connection from a viewer."""

    transport: asyncio.Transport

    def __init__(self, model_port: int, idle: list[ModelConnection]) -> None:
        self._model_port = model_port
        self._idle = idle
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._rest = b""
        self._number = 0
        self._turn = b"t_" + secrets.token_hex(16).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            self.transport.write(ALIVE)
        elif self._idle:
            self._ask(self._idle.pop())
        else:
            self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: ModelConnection(self._idle), "127.0.0.1", self._model_port
        )
        self._ask(connection)

    def _ask(self, connection: ModelConnection) -> None:
        self.transport.write(HEAD)
        self._send(self._frame(b"sources", b"[]"), False)
        connection.ask(QUESTION.decode(self._body).query, self._take)

    def _take(self, data: bytes, ended: bool) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        frames = b""
        for event in events:
            if event == b"data: [DONE]":
                frames += self._frame(b"done", b"{}")
            else:
                chunk = CHUNK.decode(event[6:])
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    frames += self._frame(b"token", msgspec.json.encode(text))
        if frames:
            self._send(frames, ended)

    def _frame(self, name: bytes, data: bytes) -> bytes:
        self._number += 1
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (self._turn, self._number, name, data)

    def _send(self, data: bytes, ended: bool) -> None:
        end = b"0\r\n\r\n" if ended else b""
        self.transport.write(b"%x\r\n%b\r\n%b" % (len(data), data, end))


async def main(port: int, model_port: int) -> None:
    idle: list[ModelConnection] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: ViewerConnection(model_port, idle), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
