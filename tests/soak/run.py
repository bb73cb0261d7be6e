"""Runs a soak test with its environment, clients and restarts."""

import asyncio
import os
import signal
import sys
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from tests.bench.observe import cpu_seconds
from tests.service import CHAT
from tests.soak import environment, launcher, script
from tests.soak.clients import Clients
from tests.soak.environment import Environment, soak_environment
from tests.soak.observe import Snapshot, snapshot
from tests.soak.report import Outcome
from tests.soak.restarts import restarts
from tests.soak.turns import FAULTS

# Seconds between two snapshots, for the clients to start, and for everything to expire afterwards.
INTERVAL, RAMP = 2.0, 10.0
SETTLING = environment.REPLAY + environment.MEMORY_TTL + environment.GRACE + 20
# Snapshots between two progress lines.
PROGRESS_INTERVAL = 15


class Options(Struct, frozen=True):
    """Duration in seconds, concurrent streams, tokens a second of each, and the random seed."""

    seconds: float
    streams: int
    rate: float
    seed: int


class _Soak:
    """A run and the snapshots taken so far."""

    def __init__(self, options: Options, running: Environment) -> None:
        self.snapshots: list[Snapshot] = []
        self.started = monotonic()
        self.final_cores: dict[str, float] = {}
        self._options, self._environment = options, running
        self._clients = Clients(running.context, options.seed)
        self._cpu_before = self._cpu()

    def cores(self) -> dict[str, float]:
        """Return the cores used so far by each process except the workers."""
        seconds = monotonic() - self.started
        return {name: (now - self._cpu_before[name]) / seconds for name, now in self._cpu().items()}

    def _cpu(self) -> dict[str, float]:
        processes = {"clients": os.getpid(), **self._environment.processes}
        return {name: cpu_seconds([pid]) for name, pid in processes.items()}

    async def snapshot(self) -> Snapshot:
        """Take a snapshot."""
        running = self._environment
        at, workers = monotonic() - self.started, running.context.workers.current
        active, http = self._clients.active, running.context.http
        return await snapshot(at, active, workers, running.redis, http, running.model)

    async def run(self, before: Snapshot) -> Snapshot:
        """Run clients and restarts, wait until all is as before, and return the last snapshot."""
        options, context = self._options, self._environment.context
        self.started, self._cpu_before = monotonic(), self._cpu()
        monitor = asyncio.create_task(self._monitor())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clients.run(options.streams, min(RAMP, options.seconds / 5)))
            group.create_task(
                restarts(
                    context.workers,
                    context.tally,
                    seconds=options.seconds,
                    drain_time=environment.DRAIN_TIME,
                    seed=options.seed,
                )
            )
            await asyncio.sleep(options.seconds)
            self._clients.stop()
        monitor.cancel()
        self.final_cores = self.cores()
        for _ in range(SETTLING):
            now = await self.snapshot()
            if _as_before(now, before):
                break
            await asyncio.sleep(1)
        return now

    async def _monitor(self) -> None:
        counts = self._environment.context.tally.counts
        while True:
            await asyncio.sleep(INTERVAL)
            self.snapshots.append(now := await self.snapshot())
            if len(self.snapshots) % PROGRESS_INTERVAL == 0:
                faults = sum(counts[name] for name in FAULTS)
                progress = f"{counts['turns']:,} turns, {counts['events']:,} events"
                print(f"{now.at:.0f} s: {progress}, {faults} faults", file=sys.stderr, flush=True)


async def soak(options: Options) -> Outcome:
    """Run a soak test. Ctrl-C ends it early, with the results so far."""
    async with soak_environment(options.rate) as running:
        run = _Soak(options, running)
        cold = await run.snapshot()
        await warm_up(running)
        # Wait for the workers' next count of tasks.
        await asyncio.sleep(3 * launcher.INTERVAL)
        before = replace(await run.snapshot(), redis_keys=cold.redis_keys)
        work = asyncio.create_task(run.run(before))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        await asyncio.wait([work])
        after = None if work.cancelled() else work.result()
        tally, workers = running.context.tally, running.context.workers
        log = [f"{one.pid}: {line[:300]}" for one in workers.all for line in one.log]
        for line in log:
            if " WARNING " not in line:
                tally.fault("worker faults", line)
        return Outcome(
            settings=_settings(options),
            seconds=min(options.seconds, monotonic() - run.started),
            counts=dict(tally.counts),
            endings=dict(tally.endings),
            stop_seconds=tally.stop_seconds,
            drain_seconds=workers.drain_seconds,
            cpu=run.final_cores or run.cores(),
            before=before,
            snapshots=run.snapshots,
            after=after,
            examples=tally.examples,
            log=log,
        )


async def warm_up(running: Environment) -> None:
    """Start and stop a stream on each worker, since the first one starts permanent tasks."""
    for url in running.context.workers.urls:
        body = {"query": script.question(0)}
        async with running.context.http.post(url + CHAT, json=body) as reply:
            turn_id = reply.headers["X-Turn-Id"]
            async with running.context.http.delete(f"{url}{CHAT}/{turn_id}"):
                await reply.read()


def _settings(options: Options) -> dict[str, float]:
    chosen = {"streams": options.streams, "tokens/s": options.rate, "seed": options.seed}
    return {**chosen, **environment.SETTINGS}


def _as_before(now: Snapshot, before: Snapshot) -> bool:
    """Whether the clients' turns have left no keys, connections or tasks behind."""
    workers = zip(now.workers, before.workers, strict=True)
    return (
        now.redis_keys <= before.redis_keys
        and now.model.connections == 0
        and all(new and old and new.tasks <= old.tasks for new, old in workers)
    )
