"""The environment of the measured servers: database, Redis, model and loads.

The scripted model and each load are processes of their own. A server has a core to itself, and
everything else shares the other cores.
"""

import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from app.infra.embedded import servers
from tests.bench.client import Load, Outcome
from tests.bench.model import Stats
from tests.bench.script import Script
from tests.bench.subjects import NAMES, PROJECT, Subject, Surroundings
from tests.bench.watch import Watch
from tests.servers import ingest_sample

# A run is void if the model's ticks are later (in seconds), if the client uses more of its core,
# or, if times count, if the server waits for its core for a larger share of the time.
LATEST_TICK, BUSIEST_CLIENT, LONGEST_WAIT = 0.010, 0.7, 0.1
# Seconds; the reference under valgrind takes longest.
LOAD_LIMIT = 180.0


class Void(Exception):
    """An invalid run: something other than the server failed or was too slow."""


class Running(Struct, frozen=True):
    """A load that has started; with `hold`, all its viewers are open and waiting."""

    process: asyncio.subprocess.Process
    load: Load


class Stage:
    """Runs loads against the selected servers, one at a time.

    Without `check_time` a load is valid on a busy machine too.
    """

    def __init__(
        self, around: Surroundings, names: Sequence[str] = NAMES, *, check_time: bool = True
    ) -> None:
        self.around = around
        self.names = names
        self._checks_time = check_time

    async def load(self, subject: Subject, script: Script, load: Load) -> Outcome:
        """Run a load against a server. Raises Void."""
        async with self.held(subject, script, load) as running:
            return await self.outcome(running)

    async def timed(self, subject: Subject, script: Script, load: Load) -> Outcome:
        """Run a load whose times count: the server must not wait for its core. Raises Void."""
        watch = Watch(subject.pid)
        outcome = await self.load(subject, script, load)
        if (share := watch.share()) > LONGEST_WAIT:
            raise Void(f"others kept the server from its core for {share:.0%} of the time")
        return outcome

    @asynccontextmanager
    async def held(self, subject: Subject, script: Script, load: Load) -> AsyncIterator[Running]:
        """Start a load; one with `hold` has all its streams open when this yields."""
        await self.follow(script)
        load = replace(
            load,
            ports=load.ports or (subject.port,),
            path=subject.path,
            model_port=self.around.model_port,
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
                raise Void("not all streams were opened")
            yield Running(process, load)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def outcome(self, running: Running) -> Outcome:
        """Let a load run to its end. Raises Void."""
        process = running.process
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"go\n")
        told = await _line(process.stdout)
        if not told:
            raise Void("the client broke")
        outcome = msgspec.json.decode(told, type=Outcome)
        stats = await self._stats()
        if outcome.faults:
            raise Void("; ".join(outcome.faults))
        if not self._checks_time:
            return outcome
        if stats.late > LATEST_TICK:
            raise Void(f"the model's ticks were {stats.late * 1_000:.0f} ms late")
        # Held streams all end at once, and nothing is measured then.
        if outcome.client_cpu > BUSIEST_CLIENT and not running.load.hold:
            raise Void(f"the client used {outcome.client_cpu:.0%} of its core")
        return outcome

    async def ticking(self) -> None:
        """Wait until the model sends the tokens of a paced script."""
        async with asyncio.timeout(LOAD_LIMIT):
            while True:
                if (await self._stats()).ticks:
                    return
                await asyncio.sleep(0.05)

    async def hung_up(self) -> dict[int, float]:
        """Return when streams were cancelled since the script was set, by their first tokens."""
        return (await self._stats()).broken_off

    async def follow(self, script: Script) -> None:
        """Set the model's script."""
        await self._order(b"SCRIPT " + msgspec.json.encode(script))

    async def _stats(self) -> Stats:
        return msgspec.json.decode(await self._order(b"STATS"), type=Stats)

    async def _order(self, order: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.around.model_port, limit=1 << 20
        )
        writer.write(order + b"\n")
        reply = await reader.readline()
        writer.close()
        return reply


@asynccontextmanager
async def staged(reference_python: Path, names: Sequence[str]) -> AsyncIterator[Stage]:
    """Run database, Redis and model, with the sample library."""
    server_cores, other_cores = _cores()
    os.sched_setaffinity(0, other_cores)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with servers(Path(folder)) as backing, scripted_model() as port:
            assert backing.database_url
            assert backing.redis_url
            await ingest_sample(backing.database_url)
            around = Surroundings(
                database_url=backing.database_url,
                redis_url=backing.redis_url,
                model_port=port,
                reference_python=reference_python,
                server_cores=server_cores,
                other_cores=other_cores,
            )
            yield Stage(around, names)


@asynccontextmanager
async def scripted_model() -> AsyncIterator[int]:
    """Run the model in a process of its own and yield its port."""
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
        async with asyncio.timeout(LOAD_LIMIT):
            return await stream.readline()
    except TimeoutError:
        raise Void(f"a load did not end within {LOAD_LIMIT:.0f} seconds") from None


def _cores() -> tuple[frozenset[int], frozenset[int]]:
    """Return the cores of the servers (one) and of everything else."""
    cores: Sequence[int] = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return frozenset(cores), frozenset(cores)
    return frozenset(cores[:1]), frozenset(cores[1:])
