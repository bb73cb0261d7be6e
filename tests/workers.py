"""Workers in processes of their own, which tests may terminate or kill."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio

from app.config import Settings
from tests.service import Client

PROJECT = Path(__file__).parent.parent
# Seconds for a worker to start on a busy machine.
START_LIMIT = 60


class Worker(Client):
    """A worker at `url`; `log` holds the lines of its output."""

    def __init__(self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession) -> None:
        super().__init__(http, "")
        self.log: list[str] = []
        self.process = process
        self._reading = asyncio.create_task(self._read())
        self._answers = anyio.Event()

    async def started(self) -> None:
        """Wait until it is ready; raises AssertionError if it exits instead."""
        with anyio.fail_after(START_LIMIT):
            await self._answers.wait()
        assert self.url, "".join(self.log)

    def kill(self) -> None:
        """Kill it: nothing is flushed, and no client is notified."""
        self.process.kill()

    def terminate(self) -> None:
        """Send SIGTERM, as a deploy does."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait until it has exited and return its exit status."""
        await self._reading
        return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.log.append(line.decode())
            if found := re.search(r"running at (http://\S+)", self.log[-1]):
                self.url = found[1]
                self._answers.set()
        self._answers.set()


def environment(settings: Settings) -> dict[str, str]:
    """Return settings as environment variables, without those that have their default."""
    given = {name: getattr(settings, name) for name in settings.__struct_fields__}
    default = Settings()
    return {
        name.upper(): str(value) for name, value in given.items() if value != getattr(default, name)
    }


@asynccontextmanager
async def worker(environment: Mapping[str, str]) -> AsyncIterator[Worker]:
    """Run `serve` with these settings, by default on a free port, and kill it afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        "serve",
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "PORT": "0", "LOG_FORMAT": "text", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    # One connection per request, so that the worker sees a disconnect at once.
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        running = Worker(process, http)
        try:
            await running.started()
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await running.ended()
