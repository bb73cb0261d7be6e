"""Settings come in; workers at fixed ports go out, to be drained, killed and started again."""

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
    """One process of a worker, from its start to its end."""

    def __init__(self, worker: Worker, tasks_file: Path) -> None:
        self.worker = worker
        self.fate: Fate = "runs"
        self._tasks_file = tasks_file

    @property
    def pid(self) -> int:
        """The process."""
        return self.worker.process.pid

    @property
    def tasks(self) -> int:
        """How many asyncio tasks it had within the last second."""
        return int(self._tasks_file.read_text() or 0)

    @property
    def log(self) -> list[str]:
        """Lines of its log that tell of something unusual."""
        return [line.rstrip() for line in self.worker.log if _TOLD.search(line)]


class Workers:
    """A fixed number of workers; `lives[place]` is the process that is at `urls[place]` now."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        folder: Path,
        environment: Mapping[str, str],
        ports: list[int],
    ) -> None:
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.lives: list[Life] = []
        # These and all before them.
        self.all: list[Life] = []
        self.drain_seconds: list[float] = []
        self._http, self._folder, self._environment = http, folder, environment
        self._ports = ports

    async def start(self) -> None:
        """Start all of them, and wait until they answer."""
        starts = (self._launch(port) for port in self._ports)
        self.lives = list(await asyncio.gather(*starts))

    async def drain(self, place: int) -> int:
        """Tell one to end, as a deploy does, start its successor; returns the exit status."""
        life, began = self.lives[place], monotonic()
        life.fate = "drained"
        life.worker.terminate()
        status = await life.worker.ended()
        self.drain_seconds.append(monotonic() - began)
        await self._succeed(place)
        return status

    async def kill(self, place: int) -> None:
        """End one as a crash does, and start its successor."""
        life = self.lives[place]
        life.fate = "killed"
        life.worker.kill()
        await life.worker.ended()
        await self._succeed(place)

    async def close(self) -> None:
        """End all that runs."""
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
            # It ends with this pipe; and Ctrl-C is for the soak alone, which then ends it.
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
