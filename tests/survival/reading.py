"""Helpers that read a stream frame by frame, without decoding it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp
import anyio

from tests.service import CHAT, Client

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"
# Seconds for what should happen immediately, on a busy machine.
SOON = 10


class Reader:
    """Reads a stream; `frames` are those received so far, without comments."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.frames: list[bytes] = []
        self.turn_id = response.headers["X-Turn-Id"]
        self.conversation_id = response.headers["X-Conversation-Id"]
        self._response = response
        self._buffer = b""

    async def until(self, count: int) -> list[bytes]:
        """Read until `count` frames have been received; return all of them."""
        with anyio.fail_after(SOON):
            while len(self.frames) < count:
                assert await self._read(), f"the stream ends after {self.frames}"
        return self.frames

    async def rest(self) -> list[bytes]:
        """Read to the end and return all frames."""
        with anyio.fail_after(SOON):
            while await self._read():
                pass
        assert not self._buffer, "the stream ends within a frame"
        return self.frames

    def disconnect(self) -> None:
        """Close the connection."""
        self._response.close()

    async def _read(self) -> bool:
        chunk = await self._response.content.readany()
        *frames, self._buffer = (self._buffer + chunk).split(b"\n\n")
        self.frames += [frame for frame in frames if not frame.startswith(b":")]
        return bool(chunk)


@asynccontextmanager
async def asking(worker: Client, key: str = "", **fields: str) -> AsyncIterator[Reader]:
    """POST a question, with an Idempotency-Key if `key` is given."""
    headers = {"Idempotency-Key": key} if key else {}
    body = {"query": QUESTION, **fields}
    with anyio.fail_after(SOON):
        response = await worker.http.post(worker.url + CHAT, json=body, headers=headers)
    async with response:
        assert response.status == 200, await response.text()
        yield Reader(response)


@asynccontextmanager
async def following(
    worker: Client,
    turn_id: str,
    after: bytes | None = None,
    method: Literal["GET", "POST"] = "GET",
) -> AsyncIterator[Reader]:
    """Follow a turn from its start, or after one of its frames, by GET or POST."""
    headers = {} if after is None else {"Last-Event-ID": id_of(after)}
    with anyio.fail_after(SOON):
        response = await _request(worker, turn_id, method, headers)
    async with response:
        assert response.status == 200, await response.text()
        yield Reader(response)


async def status_after(
    worker: Client, turn_id: str, cursor: str, method: Literal["GET", "POST"] = "GET"
) -> int:
    """Return the status of a request for the events after a cursor."""
    with anyio.fail_after(SOON):
        response = await _request(worker, turn_id, method, {"Last-Event-ID": cursor})
    response.close()
    return response.status


async def _request(
    worker: Client, turn_id: str, method: str, headers: Mapping[str, str]
) -> aiohttp.ClientResponse:
    if method == "POST":
        body = {"query": QUESTION}
        return await worker.http.post(worker.url + CHAT, json=body, headers=headers)
    return await worker.http.get(f"{worker.url}{CHAT}/{turn_id}", headers=headers)


def id_of(frame: bytes) -> str:
    """Return a frame's id."""
    return frame.split(b"\n")[0].removeprefix(b"id: ").decode()


def name_of(frame: bytes) -> str:
    """Return the name of a frame's event."""
    return frame.split(b"\n")[1].removeprefix(b"event: ").decode()


def data_of(frame: bytes) -> Any:
    """Return a frame's data, decoded."""
    return json.loads(frame.split(b"\n")[2].removeprefix(b"data: "))


def said(frames: list[bytes]) -> str:
    """Join the tokens."""
    return "".join(data_of(frame) for frame in frames if name_of(frame) == "token")


def ending(frames: list[bytes]) -> str:
    """Return the finish reason of the one `done`, or "error"; asserts that it is last."""
    last = [frame for frame in frames if name_of(frame) in ("done", "error")]
    assert last == frames[-1:], frames
    return str(data_of(last[0])["finish_reason"]) if name_of(last[0]) == "done" else "error"
