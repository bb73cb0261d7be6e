"""Workers on fixed ports that are drained, killed and restarted."""

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

WorkerState: TypeAlias = Literal["running", "drained", "killed"]

_NOTABLE = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^[\w.]*(Error|Exception)\b")


class WorkerProcess:
    """One process of a worker; a restart makes another."""

    def __init__(self, worker: Worker, tasks_file: Path) -> None:
        self.worker = worker
        self.state: WorkerState = "running"
        self._tasks_file = tasks_file

    @property
    def pid(self) -> int:
        """The process id."""
        return self.worker.process.pid

    @property
    def tasks(self) -> int:
        """The number of asyncio tasks, at most a second old."""
        return int(self._tasks_file.read_text() or 0)

    @property
    def log(self) -> list[str]:
        """Warnings and errors of its log."""
        return [line.rstrip() for line in self.worker.log if _NOTABLE.search(line)]


class Workers:
    """A fixed number of workers; `current[n]` is the process that serves `urls[n]`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        folder: Path,
        environment: Mapping[str, str],
        ports: list[int],
    ) -> None:
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.current: list[WorkerProcess] = []
        # Current and former processes.
        self.all: list[WorkerProcess] = []
        self.drain_seconds: list[float] = []
        self._http, self._folder, self._environment = http, folder, environment
        self._ports = ports

    async def start(self) -> None:
        """Start all workers and wait until they respond."""
        starts = (self._launch(port) for port in self._ports)
        self.current = list(await asyncio.gather(*starts))

    async def drain(self, index: int) -> int:
        """Restart a worker by SIGTERM, as a deployment does; return the exit status."""
        process, started = self.current[index], monotonic()
        process.state = "drained"
        process.worker.terminate()
        status = await process.worker.ended()
        self.drain_seconds.append(monotonic() - started)
        await self._replace(index)
        return status

    async def kill(self, index: int) -> None:
        """Restart a worker by SIGKILL, like a crash."""
        process = self.current[index]
        process.state = "killed"
        process.worker.kill()
        await process.worker.ended()
        await self._replace(index)

    async def close(self) -> None:
        """Kill all running workers."""
        for process in self.all:
            if process.worker.process.returncode is None:
                process.worker.kill()
            await process.worker.ended()

    async def _replace(self, index: int) -> None:
        self.current[index] = await self._launch(self._ports[index])

    async def _launch(self, port: int) -> WorkerProcess:
        file = self._folder / f"tasks-{port}-{len(self.all)}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.launcher", str(file)),
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], **self._environment, "PORT": str(port)},
            # The launcher exits with this pipe. In its own session, Ctrl-C does not reach it.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        launched = WorkerProcess(Worker(process, self._http), file)
        self.all.append(launched)
        await launched.worker.started()
        return launched
