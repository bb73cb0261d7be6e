"""Instructions per token and per short chat, counted by callgrind.

Per token: the difference between a chat of 160 tokens and one of 10, divided by 150. One token is
in flight at a time, to one stream after the other, and each stream has at most 50 a second, so
that timers have the same weight as in production.
"""

import asyncio
import re
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from tests.bench.client import Load
from tests.bench.harness import Harness
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import Subject, subject

STREAMS, RATE, SHORT, LONG = 10, 50, 10, 160
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


async def measure(harness: Harness, rounds: int) -> list[Figure]:
    """Start all servers under callgrind, and measure one at a time. Raises InvalidRun."""
    token = {name: list[float]() for name in harness.names}
    chat = {name: list[float]() for name in harness.names}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with AsyncExitStack() as stack:
            starting = [
                stack.enter_async_context(
                    subject(name, harness.environment, _valgrind(Path(folder)))
                )
                for name in harness.names
            ]
            for server in await asyncio.gather(*starting):
                counted = await _count(harness, server, Path(folder), rounds)
                short, long = (median(values) / STREAMS / 1_000 for values in counted)
                token[server.name].append((long - short) / (LONG - SHORT))
                chat[server.name].append(short)
    return [
        Figure("instructions", "instructions per token, thousands", token),
        Figure("instructions_chat", f"instructions per chat of {SHORT} tokens, thousands", chat),
    ]


async def _count(
    harness: Harness, server: Subject, folder: Path, rounds: int
) -> tuple[list[int], list[int]]:
    """Return the instructions of `STREAMS` short chats and of as many long ones, per round."""
    for _ in range(2):
        await _chats(harness, server, SHORT)
    await _control(server, "--instr=on")
    # Not counted: callgrind discards its translated code when instrumentation starts.
    await _chats(harness, server, SHORT)
    await _dump(server, folder)
    counted: tuple[list[int], list[int]] = ([], [])
    for _ in range(rounds):
        for tokens, values in zip((SHORT, LONG), counted, strict=True):
            await _chats(harness, server, tokens)
            values.append(await _dump(server, folder))
    await _control(server, "--instr=off")
    return counted


async def _chats(harness: Harness, server: Subject, tokens: int) -> None:
    load = Load(chats=STREAMS, tokens=tokens, at_once=STREAMS, opening=STREAMS, steps=True)
    script = Script(tokens, rate=RATE, streams=STREAMS, steps=True)
    await harness.run_load(server, script, load)


async def _dump(server: Subject, folder: Path) -> int:
    """Return the instructions since the last dump."""
    await _control(server, "--dump=bench")
    return _total(folder, server.pid)


def _total(folder: Path, pid: int) -> int:
    (dump,) = folder.glob(f"callgrind.{pid}.*")
    total = _TOTAL.search(dump.read_text())
    dump.unlink()
    if total is None:
        raise RuntimeError("callgrind reported no total")
    return int(total[1])


async def _control(server: Subject, command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("callgrind_control", command, str(server.pid)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"callgrind_control failed: {output.decode()}")


def _valgrind(folder: Path) -> tuple[str, ...]:
    file = f"--callgrind-out-file={folder}/callgrind.%p"
    return ("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", file)
