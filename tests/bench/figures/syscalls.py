"""System calls per token, counted by strace."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.client import Load
from tests.bench.harness import Harness
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import Subject

# Concurrent streams, their maximum token rate, and the tokens of the two chats. One token is in
# flight at a time, so that a server slowed down by strace still handles each separately.
STREAMS, RATE, SHORT, LONG = 10, 50, 10, 60


async def measure(harness: Harness, subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Count the calls of short and long chats; the difference is that of the tokens."""
    values: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for subject in subjects:
        # Warm up, so that connections to the database and Redis are open.
        await _chats(harness, subject, SHORT)
        for _ in range(rounds):
            short, long = [await _calls(harness, subject, tokens) for tokens in (SHORT, LONG)]
            values[subject.name].append((long - short) / STREAMS / (LONG - SHORT))
    return [Figure("syscalls", "system calls per token", values)]


async def _chats(harness: Harness, subject: Subject, tokens: int) -> None:
    load = Load(chats=STREAMS, tokens=tokens, at_once=STREAMS, opening=STREAMS, steps=True)
    script = Script(tokens, rate=RATE, streams=STREAMS, steps=True)
    await harness.run_load(subject, script, load)


async def _calls(harness: Harness, subject: Subject, tokens: int) -> int:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        table = Path(folder) / "calls"
        async with _traced(subject, table):
            await _chats(harness, subject, tokens)
        # Columns: % time, seconds, usecs/call, calls, errors (if any), syscall.
        (total,) = [line for line in table.read_text().splitlines() if line.endswith("total")]
        return int(total.split()[3])


@asynccontextmanager
async def _traced(subject: Subject, table: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *("strace", "-c", "-f", "-o", str(table), "-p", str(subject.pid)),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    if b"attached" not in await process.stderr.readline():
        raise RuntimeError("strace cannot attach to the server; check the ptrace permission")
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
