"""Workers on fixed ports, which may be drained, killed and started again."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Literal, TypeAlias

import aiohttp

from tests.workers import PROJECT, Worker

Fate: TypeAlias = Literal["runs", "drained", "killed"]

_TOLD = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^[\w.]*(Error|Exception)\b")


class Life:
    """One process of a worker."""

    def __init__(self, worker: Worker, tasks_file: Path) -> None:
        self.worker = worker
        self.fate: Fate = "runs"
        self._tasks_file = tasks_file

    @property
    def pid(self) -> int:
        """The process ID."""
        return self.worker.process.pid

    @property
    def tasks(self) -> int:
        """The number of asyncio tasks, at most a second old."""
        return int(self._tasks_file.read_text() or 0)

    @property
    def log(self) -> list[str]:
        """The lines of its log with warnings and errors."""
        return [line.rstrip() for line in self.worker.log if _TOLD.search(line)]


class Workers:
    """A fixed number of workers; `lives[place]` is the current process at `urls[place]`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        folder: Path,
        environment: Mapping[str, str],
        ports: list[int],
    ) -> None:
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.lives: list[Life] = []
        # The current processes and all earlier ones.
        self.all: list[Life] = []
        self.drain_seconds: list[float] = []
        self._http, self._folder, self._environment = http, folder, environment
        self._ports = ports

    async def start(self) -> None:
        """Start all workers and wait until they are ready."""
        starts = (self._launch(port) for port in self._ports)
        self.lives = list(await asyncio.gather(*starts))

    async def drain(self, place: int) -> int:
        """Terminate a worker, as a deploy does, and start the next; returns the exit status."""
        life, began = self.lives[place], monotonic()
        life.fate = "drained"
        life.worker.terminate()
        status = await life.worker.ended()
        self.drain_seconds.append(monotonic() - began)
        await self._succeed(place)
        return status

    async def kill(self, place: int) -> None:
        """Kill a worker and start the next."""
        life = self.lives[place]
        life.fate = "killed"
        life.worker.kill()
        await life.worker.ended()
        await self._succeed(place)

    async def close(self) -> None:
        """Kill all workers."""
        for life in self.all:
            if life.worker.process.returncode is None:
                life.worker.kill()
            await life.worker.ended()

    async def _succeed(self, place: int) -> None:
        self.lives[place] = await self._launch(self._ports[place])

    async def _launch(self, port: int) -> Life:
        file = self._folder / f"tasks-{port}-{len(self.all)}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.launcher", str(file)),
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], **self._environment, "PORT": str(port)},
            # It exits when this pipe is closed; Ctrl-C reaches only the soak, which then stops it.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        life = Life(Worker(process, self._http), file)
        self.all.append(life)
        await life.worker.started()
        return life
