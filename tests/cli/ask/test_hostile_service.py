"""`python -m app ask` and a service that is hostile: nothing reaches the terminal or a shell."""

import json
import re
from typing import Any

import pytest

from app.cli.ask.client import STREAM_LIMIT
from tests.cli.ask.program import events_of, run_ask
from tests.raw_server import Play, RawServer, Reader, Writer, raw_server

pytestmark = pytest.mark.anyio

TURN = "t_" + "0" * 32
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Turn-Id: {}\r\n\r\n"
NAME = "A\x1b]0;x\x07\n[9] forged \u2067\u200f\u202e"
SOURCE = {
    "number": 1,
    "kind": "page",
    "title": f"T\x9b31m {NAME}",
    "creator": {"slug": "a", "name": NAME},
    "topic": None,
    "url": "https://bank.example\u2066@evil.example/\u202e",
    "start_seconds": None,
    "end_seconds": None,
    "snippet": "s",
    "score": 0.5,
}
DONE = {
    "cascade_tier": "creator",
    "conversation_id": "c_1; touch OWNED; echo $(id) \u2067",
    "turn_id": TURN,
    "finish_reason": "stop",
    "citations": [{"number": 1, "start": 0, "end": 3}],
    "scope": {
        "creator": {"slug": "a", "name": NAME},
        "query": "x",
        "tiers": [],
        "matching": "lexical",
    },
    "usage": None,
    "timings_ms": {"retrieval": 1, "first_token": 1, "total": 1},
    "memory": "kept",
}
ANSWER: tuple[tuple[str, Any], ...] = (
    ("sources", [SOURCE]),
    ("token", "hi \x1b[2J\x9b5n\u202e [1] क्‍ष"),
    ("done", DONE),
)
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
DEEP = "[" * 100_000


def frames(*events: tuple[str, Any]) -> bytes:
    return b"".join(
        f"id: {TURN}-{number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()
        for number, (name, data) in enumerate(events)
    )


def sends(body: bytes, head: str = HEAD.format(TURN), times: int = 1) -> Play:
    async def play(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.request(reader)
        writer.write(head.encode("latin-1"))
        for _ in range(times):
            writer.write(body)
            await writer.drain()

    return play


async def ask(*plays: Play, lines: bool = False) -> tuple[int, str, str]:
    async with raw_server(*plays) as server:
        url = f"http://127.0.0.1:{server.port}"
        return await run_ask("Why?", "--url", url, *(["--json"] if lines else []))


async def test_nothing_but_text_is_printed_and_no_command_is_suggested() -> None:
    status, out, err = await ask(sends(frames(*ANSWER)))
    assert status == 0
    assert not UNSAFE.search(out + err)
    assert "क्‍ष" in out
    assert "OWNED" not in out + err
    assert not any(line.startswith("[9] forged") for line in out.splitlines())


async def test_json_is_escaped() -> None:
    status, out, _ = await ask(sends(frames(*ANSWER)), lines=True)
    assert status == 0
    assert out.isascii()
    assert not UNSAFE.search(out)
    assert [event.data for event in events_of(out)] == [data for _, data in ANSWER]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        b"event: token\ndata: " + b"x" * (5 << 20) + b"\n\n",
        f"event: token\ndata: {DEEP}\n\n".encode(),
        f"event: done\ndata: {DEEP}\n\n".encode(),
        b'event: token\ndata: "\xff\n\n',
        b"event: done\ndata: 1" + b"0" * 5_000 + b"\n\n",
    ],
    ids=["huge", "deep token", "deep end", "not JSON", "long number"],
)
async def test_event_that_cannot_be_read_is_one_line(body: bytes, lines: bool) -> None:
    status, _, err = await ask(sends(body), lines=lines)
    assert status == 1
    assert err.startswith("chrysopedia-chat: The service sent ")
    assert err.count("\n") == 1
    assert len(err) < 1_200


async def test_endless_stream_ends() -> None:
    events = frames(("unknown", "x" * 1_000_000))
    status, _, err = await ask(sends(events, times=STREAM_LIMIT // len(events) + 9))
    assert status == 1
    assert err.splitlines()[-1] == (
        "chrysopedia-chat: The service sent more than the longest answer has."
    )


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"type": "x", "title": NAME, "status": 400, "detail": NAME * 900}).encode(),
        DEEP.encode(),
        b"",
    ],
)
async def test_problem_is_one_line(body: bytes) -> None:
    head = f"HTTP/1.1 400 \x1b[2J\x9b\r\nLocation: \x9b2J\r\nContent-Length: {len(body)}\r\n\r\n"
    status, out, err = await ask(sends(body, head))
    assert (status, out) == (2, "")
    assert not UNSAFE.search(err)
    assert err.count("\n") == 1
    assert len(err) < 1_200


@pytest.mark.parametrize("turn", ["../../x y", "é", "a" * 200])
async def test_turn_id_that_is_none_is_not_used(turn: str) -> None:
    status, _, err = await ask(sends(b"", HEAD.format(turn)))
    assert status == 1
    assert err.endswith("is not Chrysopedia Chat.\n")
