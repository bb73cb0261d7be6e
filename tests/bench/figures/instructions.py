"""CPU instructions of a token and of a short chat, counted by callgrind.

The cost of a token is the difference between chats of 160 and of 10 tokens, divided by 150. One
token is sent at a time, to one stream after the other, at most 50 per second to each, so that the
share of timer-driven work is realistic.
"""

import asyncio
import re
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from tests.bench.client import Load
from tests.bench.measured import Figure
from tests.bench.script import Script
from tests.bench.stage import Stage
from tests.bench.subjects import Subject, subject

STREAMS, RATE, SHORT, LONG = 10, 50, 10, 160
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


async def measure(stage: Stage, rounds: int) -> list[Figure]:
    """Start all servers under callgrind and measure one after the other. Raises Void."""
    token = {name: list[float]() for name in stage.names}
    chat = {name: list[float]() for name in stage.names}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with AsyncExitStack() as stack:
            starting = [
                stack.enter_async_context(subject(name, stage.around, _valgrind(Path(folder))))
                for name in stage.names
            ]
            for server in await asyncio.gather(*starting):
                counted = await _count(stage, server, Path(folder), rounds)
                short, long = (median(values) / STREAMS / 1_000 for values in counted)
                token[server.name].append((long - short) / (LONG - SHORT))
                chat[server.name].append(short)
    return [
        Figure("instructions", "instructions a token, thousands", token),
        Figure("instructions_chat", f"instructions a chat of {SHORT} tokens, thousands", chat),
    ]


async def _count(
    stage: Stage, server: Subject, folder: Path, rounds: int
) -> tuple[list[int], list[int]]:
    """Return the instructions of `STREAMS` short chats and of as many long ones, for each round."""
    for _ in range(2):
        await _chats(stage, server, SHORT)
    await _control(server, "--instr=on")
    # The first counted chats refill the caches that were discarded when counting started.
    await _chats(stage, server, SHORT)
    await _dump(server, folder)
    counted: tuple[list[int], list[int]] = ([], [])
    for _ in range(rounds):
        for tokens, values in zip((SHORT, LONG), counted, strict=True):
            await _chats(stage, server, tokens)
            values.append(await _dump(server, folder))
    await _control(server, "--instr=off")
    return counted


async def _chats(stage: Stage, server: Subject, tokens: int) -> None:
    load = Load(chats=STREAMS, tokens=tokens, at_once=STREAMS, opening=STREAMS, steps=True)
    script = Script(tokens, rate=RATE, streams=STREAMS, steps=True)
    await stage.load(server, script, load)


async def _dump(server: Subject, folder: Path) -> int:
    """Return the number of instructions since the last dump."""
    await _control(server, "--dump=bench")
    return _total(folder, server.pid)


def _total(folder: Path, pid: int) -> int:
    (dumped,) = folder.glob(f"callgrind.{pid}.*")
    total = _TOTAL.search(dumped.read_text())
    dumped.unlink()
    if total is None:
        raise RuntimeError("callgrind counted nothing")
    return int(total[1])


async def _control(server: Subject, order: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("callgrind_control", order, str(server.pid)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"callgrind_control failed: {said.decode()}")


def _valgrind(folder: Path) -> tuple[str, ...]:
    file = f"--callgrind-out-file={folder}/callgrind.%p"
    return ("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", file)
