"""`python -m app ask` as a process: what it prints can be waited for, and it can be interrupted."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio

from tests.service import Event
from tests.workers import PROJECT

# Seconds for it to start, and to go on after what a test does to it.
LIMIT = 20


class Asking:
    """One that runs: `out` and `err` are what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.out = self.err = ""
        self._process = process
        self._news = anyio.Event()
        self._reading = [
            asyncio.create_task(self._read("out", process.stdout)),
            asyncio.create_task(self._read("err", process.stderr)),
        ]

    async def printed(self, text: str, where: str = "out") -> None:
        """Wait until it has printed that."""
        with anyio.fail_after(LIMIT):
            while text not in getattr(self, where):
                await self._news.wait()

    async def ended(self) -> int:
        """Wait for its end and return the exit status."""
        with anyio.fail_after(LIMIT):
            await asyncio.gather(*self._reading)
            return await self._process.wait()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def close_pipe(self) -> None:
        """Stop reading what it prints, as `head` does."""
        transport = self._process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()

    def events(self) -> list[Event]:
        """Decode the lines of `--json`."""
        lines = [json.loads(line) for line in self.out.splitlines()]
        assert all(list(line) == ["id", "event", "data"] for line in lines)
        return [Event(*line.values()) for line in lines]

    async def _read(self, where: str, stream: asyncio.StreamReader | None) -> None:
        assert stream
        while data := await stream.read(1 << 16):
            setattr(self, where, getattr(self, where) + data.decode())
            self._news.set()
            self._news = anyio.Event()


@asynccontextmanager
async def asking(
    *arguments: str | bytes, environment: Mapping[str, str] | None = None, given: bytes = b""
) -> AsyncIterator[Asking]:
    """Run it with these arguments and settings; `given` is its standard input."""
    read, write = os.pipe()
    os.write(write, given)
    os.close(write)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        "ask",
        *arguments,
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        stdin=read,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(read)
    running = Asking(process)
    try:
        yield running
        await running.ended()
    finally:
        if process.returncode is None:
            process.kill()
            await running.ended()


async def asked(
    *arguments: str | bytes, environment: Mapping[str, str] | None = None, given: bytes = b""
) -> tuple[int, str, str]:
    """Run it to its end; returns its exit status, and what it printed on both."""
    async with asking(*arguments, environment=environment, given=given) as running:
        return await running.ended(), running.out, running.err
