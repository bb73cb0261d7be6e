"""A scripted OpenAI-compatible model server on a real socket.

    async with ScriptedModel() as model:
        model.answers(say("Hello", " world"), refuse(429, headers={"Retry-After": "1"}))
        ...                                     # the service calls model.base_url
        assert model.requests[0].messages[-1]["content"] == "…"

The steps of `say`: a string is a token, an `anyio.Event` pauses the answer until the test sets it,
a float pauses it for so many seconds, a dict is sent as the JSON of an event, bytes are sent
unchanged, and `DIE` cuts the connection.
"""

import asyncio
import contextlib
import gzip
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Literal, TypeAlias

import anyio

from app.infra.embedded.wait import until

JSON: TypeAlias = dict[str, Any]


class Cut(Enum):
    """A step that resets the connection."""

    DIE = "cut the connection"


DIE = Cut.DIE
Played: TypeAlias = bytes | float | anyio.Event | Literal[Cut.DIE]
Step: TypeAlias = str | JSON | Played


@dataclass(frozen=True)
class Request:
    """A request; `headers` are by lower-case name."""

    path: str
    headers: Mapping[str, str]
    body: JSON

    @property
    def messages(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = self.body["messages"]
        return messages


@dataclass(frozen=True)
class Answer:
    """A response whose body is chunked, or ends with the connection, by `framing`."""

    steps: tuple[Played, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": EVENT_STREAM})
    framing: Literal["chunked", "close"] = "chunked"

    @property
    def body(self) -> bytes:
        """The bytes that the steps send."""
        return b"".join(step for step in self.steps if isinstance(step, bytes))


Script: TypeAlias = Answer | Callable[[Request], Answer]

EVENT_STREAM = "text/event-stream; charset=utf-8"


def event(data: JSON) -> bytes:
    """Format a server-sent event; like on many servers its JSON is ASCII."""
    return f"data: {json.dumps(data)}\n\n".encode()


def chunk(delta: JSON, finish: str | None = None) -> JSON:
    """Return a chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "choices": [choice], "usage": None}


def reasoning(text: str) -> JSON:
    """Return a chunk of reasoning, which is not part of the answer."""
    return chunk({"content": None, "reasoning_content": text, "reasoning": text})


def say(
    *steps: Step,
    finish: str | None = "stop",
    usage: tuple[int, int] | None = None,
    done: bool = True,
) -> Answer:
    """Stream an answer; `usage` is (prompt tokens, completion tokens)."""
    last: list[Step] = [chunk({}, finish)] if finish else []
    if usage:
        count = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        last.append({"choices": [], "usage": {**count, "total_tokens": sum(usage)}})
    if done:
        last.append(b"data: [DONE]\n\n")
    return Answer(tuple(_played(step) for step in (*steps, *last)))


def _played(step: Step) -> Played:
    if isinstance(step, str):
        return event(chunk({"content": step}))
    return event(step) if isinstance(step, dict) else step


def refuse(status: int, body: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """Respond with a status; the body is JSON unless the headers say otherwise."""
    error = {"error": {"message": "refused by the script", "code": status}}
    headers = {"Content-Type": "application/json"} | dict(headers or {})
    return Answer(((body or json.dumps(error)).encode(),), status, headers)


def page(html: str = "<html><h1>Bad gateway</h1></html>", status: int = 200) -> Answer:
    """Respond with a web page, like a proxy whose model is down."""
    return refuse(status, html, {"Content-Type": "text/html"})


def whole(text: str, finish: str = "stop", usage: tuple[int, int] = (3, 2)) -> Answer:
    """Answer with one JSON document, like a server that cannot stream."""
    message = {"role": "assistant", "content": text}
    count = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return refuse(200, json.dumps({"choices": [choice], "usage": count}, indent=1))


def byte_by_byte(answer: Answer) -> Answer:
    """Send the same body one byte at a time."""
    return replace(answer, steps=tuple(bytes([byte]) for byte in answer.body))


def in_one_write(answer: Answer) -> Answer:
    """Send the same body in one piece."""
    return replace(answer, steps=(answer.body,))


def zipped(answer: Answer) -> Answer:
    """Send the same body compressed."""
    headers = {**answer.headers, "Content-Encoding": "gzip"}
    return replace(answer, steps=(gzip.compress(answer.body),), headers=headers)


# Seconds to wait for the client to read a piece before the next is sent anyway.
UNREAD_LIMIT = 2.0
# Turns of the event loop in which a client in this process reads.
CLIENT_TURNS = 3
# From linux/netlink.h and linux/sock_diag.h, and an offset in a reply.
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, RECEIVE_QUEUE = 4, 20, 1, 72


class ScriptedModel:
    """The server; `disconnected` is set once a client has disconnected during an answer."""

    def __init__(self) -> None:
        self.base_url = ""
        self.requests: list[Request] = []
        self.connections = 0
        self.disconnected = anyio.Event()
        self._scripts: deque[Script] = deque()
        self._last: Script = say("Hello", " world")
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = anyio.Condition()

    def answers(self, *scripts: Script) -> None:
        """Queue the responses to the next requests; the last one is repeated."""
        self._scripts.extend(scripts)

    async def asked(self, times: int = 1) -> None:
        """Wait for so many requests."""
        async with self._asked:
            while len(self.requests) < times:
                await self._asked.wait()

    async def __aenter__(self) -> "ScriptedModel":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # In some tests the client disconnects abruptly.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Play one answer; return whether the connection stays open."""
        request = await _read(reader)
        if self._scripts:
            self._last = self._scripts.popleft()
        answer = self._last if isinstance(self._last, Answer) else self._last(request)
        async with self._asked:
            self.requests.append(request)
            self._asked.notify_all()
        player = asyncio.create_task(_play(answer, writer))
        watcher = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({player, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not player.done() or player.exception():
                self.disconnected.set()
                return False
            return player.result()
        finally:
            player.cancel()
            watcher.cancel()
            await asyncio.gather(player, watcher, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Request:
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(start.split()[1], headers, json.loads(body or b"{}"))


async def _play(answer: Answer, writer: asyncio.StreamWriter) -> bool:
    chunked = answer.framing == "chunked"
    headers = dict(answer.headers) | ({"Transfer-Encoding": "chunked"} if chunked else {})
    head = [f"HTTP/1.{int(chunked)} {answer.status} Scripted", *map(": ".join, headers.items())]
    writer.write("\r\n".join([*head, "", ""]).encode())
    for step in answer.steps:
        for _ in range(CLIENT_TURNS):
            await asyncio.sleep(0)
        if step is DIE or (isinstance(step, bytes) and len(step) > 1):
            # Pieces that arrive together may be passed on together: let the client read each alone.
            await until(lambda: not _unread(writer), UNREAD_LIMIT)
        if isinstance(step, bytes):
            writer.write(b"%x\r\n%b\r\n" % (len(step), step) if chunked else step)
            await writer.drain()
        elif isinstance(step, anyio.Event):
            await step.wait()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        else:
            writer.transport.abort()
            return False
    if chunked:
        writer.write(b"0\r\n\r\n")
    return chunked


def _unread(writer: asyncio.StreamWriter) -> bool:
    """Ask the kernel whether the client has unread bytes; always False except on Linux."""
    if not hasattr(socket, "AF_NETLINK"):
        return False
    ours, theirs = (writer.get_extra_info(name)[1] for name in ("sockname", "peername"))
    local = socket.inet_aton("127.0.0.1")
    # struct inet_diag_req_v2 in linux/inet_diag.h: family, protocol, all states, the connection.
    request = struct.pack("=BBxxI", socket.AF_INET, socket.IPPROTO_TCP, 0xFFFFFFFF)
    request += struct.pack("!HH4s12x4s12x4x8s", theirs, ours, local, local, b"\xff" * 8)
    head = struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(head + request)
        reply = kernel.recv(4096)
    _, kind = struct.unpack_from("=IH", reply)
    (unread,) = struct.unpack_from("=I", reply, RECEIVE_QUEUE)
    return bool(kind == SOCK_DIAG_BY_FAMILY and unread)
