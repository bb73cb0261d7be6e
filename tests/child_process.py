"""Runs a command as a child process and waits for its output."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

# Seconds for each wait.
LIMIT = 20


class Program:
    """A running process; `out` and `err` are its output so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.out = self.err = ""
        self._process = process
        self._changed = anyio.Event()
        self._reading = [
            asyncio.create_task(self._read("out", process.stdout)),
            asyncio.create_task(self._read("err", process.stderr)),
        ]

    async def printed(self, text: str, where: str = "out") -> None:
        """Wait until it has printed `text`."""
        with anyio.fail_after(LIMIT):
            while text not in getattr(self, where):
                await self._changed.wait()

    async def ended(self) -> int:
        """Wait until it has exited and return its exit status."""
        with anyio.fail_after(LIMIT):
            await asyncio.gather(*self._reading)
            return await self._process.wait()

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def close_pipe(self) -> None:
        """Close its standard output, as `head` does."""
        pipe = self._process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        pipe.close()

    async def _read(self, where: str, stream: asyncio.StreamReader | None) -> None:
        assert stream
        while data := await stream.read(1 << 16):
            setattr(self, where, getattr(self, where) + data.decode())
            self._changed.set()
            self._changed = anyio.Event()


@asynccontextmanager
async def program(
    *command: str | bytes | Path,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    folder: Path | None = None,
) -> AsyncIterator[Program]:
    """Run a command and kill it afterwards; `stdin` is its standard input (at most 64 KiB)."""
    stdin_read, stdin_write = os.pipe()
    os.write(stdin_write, stdin)
    os.close(stdin_write)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        stdin=stdin_read,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(stdin_read)
    running = Program(process)
    try:
        yield running
        await running.ended()
    finally:
        if process.returncode is None:
            process.kill()
            await running.ended()
