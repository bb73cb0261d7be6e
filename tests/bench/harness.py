"""Runs loads against the servers, and the environment that these share.

All servers use the same PostgreSQL and Redis. The scripted model and each load run in processes of
their own. The server under test has one core for itself; everything else shares the others.
"""

import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from app.infra.embedded import servers
from app.services.access.signing import load_secret
from tests.bench.client import Load, LoadResult
from tests.bench.cpu_wait import CpuWait
from tests.bench.model import Stats
from tests.bench.script import Script
from tests.bench.subjects import NAMES, PROJECT, Environment, Subject
from tests.keys import make_key
from tests.servers import ingest_sample

# A run beyond these is invalid: lateness of the model's ticks in seconds, the client's share of its
# core, and, if times are measured, the share of the time that the server waited for its core.
MAX_TICK_DELAY, MAX_CLIENT_CPU, MAX_CPU_WAIT = 0.010, 0.7, 0.1
# Seconds; the reference under valgrind takes longest.
LOAD_TIMEOUT = 180.0


class InvalidRun(Exception):
    """A run that does not measure the server, because of a fault or of a slow load generator."""


class OpenLoad(Struct, frozen=True):
    """A load in progress; with `hold`, all its streams are open and waiting."""

    process: asyncio.subprocess.Process
    load: Load


class Harness:
    """Runs loads against the servers named `names`, one at a time.

    Without `check_time`, a load is valid on a busy machine as well.
    """

    def __init__(
        self, environment: Environment, names: Sequence[str] = NAMES, *, check_time: bool = True
    ) -> None:
        self.environment = environment
        self.names = names
        self._check_time = check_time

    async def run_load(self, subject: Subject, script: Script, load: Load) -> LoadResult:
        """Run a load against a server. Raises InvalidRun."""
        async with self.open_load(subject, script, load) as running:
            return await self.finish_load(running)

    async def run_timed_load(self, subject: Subject, script: Script, load: Load) -> LoadResult:
        """Run a load whose times are measured. Raises InvalidRun, also if the machine is busy."""
        cpu_wait = CpuWait(subject.pid)
        result = await self.run_load(subject, script, load)
        if (fraction := cpu_wait.fraction()) > MAX_CPU_WAIT:
            raise InvalidRun(f"the server waited for its core for {fraction:.0%} of the time")
        return result

    @asynccontextmanager
    async def open_load(
        self, subject: Subject, script: Script, load: Load
    ) -> AsyncIterator[OpenLoad]:
        """Start a load; with `hold`, all its streams are open when this yields."""
        await self.set_script(script)
        load = replace(
            load,
            ports=load.ports or (subject.port,),
            path=subject.path,
            model_port=self.environment.model_port,
            secret=self.environment.secret,
            key=self.environment.key,
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.client", msgspec.json.encode(load).decode()),
            cwd=PROJECT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        try:
            assert process.stdout
            if load.hold and await _line(process.stdout) != b"open\n":
                raise InvalidRun("not all streams were opened")
            yield OpenLoad(process, load)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def finish_load(self, running: OpenLoad) -> LoadResult:
        """Release a load and wait for its result. Raises InvalidRun."""
        process = running.process
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"go\n")
        line = await _line(process.stdout)
        if not line:
            raise InvalidRun("the client crashed")
        result = msgspec.json.decode(line, type=LoadResult)
        stats = await self._stats()
        if result.faults:
            raise InvalidRun("; ".join(result.faults))
        if not self._check_time:
            return result
        if stats.late > MAX_TICK_DELAY:
            raise InvalidRun(f"the model's ticks were {stats.late * 1_000:.0f} ms late")
        # The end of a held load is a short peak, during which nothing is measured.
        if result.client_cpu > MAX_CLIENT_CPU and not running.load.hold:
            raise InvalidRun(f"the client used {result.client_cpu:.0%} of its core")
        return result

    async def wait_for_ticks(self) -> None:
        """Wait until the model sends the tokens of a paced script."""
        async with asyncio.timeout(LOAD_TIMEOUT):
            while True:
                if (await self._stats()).ticks:
                    return
                await asyncio.sleep(0.05)

    async def disconnects(self) -> dict[int, float]:
        """Return when the model was disconnected, by the time of each stream's first token."""
        return (await self._stats()).disconnects

    async def set_script(self, script: Script) -> None:
        """Set the model's script for the following requests."""
        await self._send_command(b"SCRIPT " + msgspec.json.encode(script))

    async def _stats(self) -> Stats:
        return msgspec.json.decode(await self._send_command(b"STATS"), type=Stats)

    async def _send_command(self, command: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.environment.model_port, limit=1 << 20
        )
        writer.write(command + b"\n")
        reply = await reader.readline()
        writer.close()
        return reply


@asynccontextmanager
async def open_harness(reference_python: Path, names: Sequence[str]) -> AsyncIterator[Harness]:
    """Run PostgreSQL with the sample library, Redis and the model."""
    server_cores, other_cores = _cores()
    os.sched_setaffinity(0, other_cores)
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with servers(Path(folder)) as backing, scripted_model() as port:
            assert backing.database_url
            assert backing.redis_url
            await ingest_sample(backing.database_url)
            connection = await asyncpg.connect(backing.database_url)
            secret = await load_secret(connection)
            await connection.close()
            environment = Environment(
                database_url=backing.database_url,
                redis_url=backing.redis_url,
                model_port=port,
                reference_python=reference_python,
                server_cores=server_cores,
                other_cores=other_cores,
                secret=secret,
                key=(await make_key(backing.database_url)).text,
            )
            yield Harness(environment, names)


@asynccontextmanager
async def scripted_model() -> AsyncIterator[int]:
    """Run the model in its own process, and yield its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.model"),
        cwd=PROJECT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(LOAD_TIMEOUT):
            return await stream.readline()
    except TimeoutError:
        raise InvalidRun(f"a load did not finish within {LOAD_TIMEOUT:.0f} seconds") from None


def _cores() -> tuple[frozenset[int], frozenset[int]]:
    """Return the server's core and all others; both are the same if there is only one."""
    cores: Sequence[int] = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return frozenset(cores), frozenset(cores)
    return frozenset(cores[:1]), frozenset(cores[1:])
