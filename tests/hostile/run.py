"""Runs attacks beside paced streams, and measures what is left afterwards."""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path
from random import Random
from time import monotonic

import msgspec
from msgspec import Struct

from tests.hostile.attacks import ATTACKS, Attacker, repeat
from tests.hostile.library import ingest_repeatedly
from tests.hostile.viewers import addresses, view
from tests.soak.environment import (
    GRACE,
    MEMORY_TTL,
    REPLAY,
    SETTINGS,
    Environment,
    soak_environment,
)
from tests.soak.model import Stats
from tests.soak.observe import WorkerUsage, worker_usage
from tests.soak.run import warm_up
from tests.soak.turns import FAULTS

# The limits are the defaults; some timeouts are short, so that a run ends soon.
WORKERS = {
    **{name: value for name, value in SETTINGS.items() if value and name != "TURN_LEASE"},
    "LLM_THINKING_TIMEOUT": 10,
    "LLM_ANSWER_TIMEOUT": 60,
}
MODEL = "tests.hostile.model"
# Seconds for everything to expire, idle connections included.
SETTLING = REPLAY + MEMORY_TTL + GRACE + 90
INTERVAL, PROGRESS_INTERVAL = 2.0, 10
# Counts of limits expire after minutes; there are few for each address.
COUNTS = b"limit:"


class Options(Struct, frozen=True):
    """Duration in seconds, concurrent streams, tokens a second of each, and the random seed."""

    seconds: float
    streams: int
    rate: float
    seed: int


class Usage(Struct, frozen=True):
    """What workers, Redis and the model hold; `counts` are the Redis keys of limits."""

    workers: list[WorkerUsage | None]
    redis_keys: int
    counts: int
    model: Stats


class Outcome(Struct, frozen=True):
    """Result of a run; `peaks` are the workers' usage during it, `after` None if interrupted."""

    options: Options
    attacks: dict[str, dict[str, int]]
    counts: dict[str, int]
    endings: dict[str, int]
    before: Usage
    peaks: list[WorkerUsage]
    after: Usage | None
    faults: list[str]
    log: list[str]


class Run:
    """A run and what it has counted so far."""

    def __init__(self, options: Options, running: Environment) -> None:
        self.replies: dict[str, Counter[str]] = {name: Counter() for name in (*ATTACKS, "library")}
        self.faults: list[str] = []
        self.peaks: list[WorkerUsage] = []
        self._options, self._running = options, running

    async def usage(self) -> Usage:
        """Return the present usage."""
        redis, context = self._running.redis, self._running.context
        keys = [key async for key in redis.scan_iter(count=1_000)]
        counts = sum(key.startswith(COUNTS) for key in keys)
        async with context.http.get(f"{self._running.model}/stats") as reply:
            stats = msgspec.json.decode(await reply.read(), type=Stats)
        # Without the connection of this request.
        stats.connections -= 1
        workers = [worker_usage(worker) for worker in context.workers.current]
        return Usage(workers, len(keys) - counts, counts, stats)

    async def run(self, before: Usage, library: Path) -> Usage:
        """Attack beside streams, wait until all is as before, and return the usage then."""
        ended, options = asyncio.Event(), self._options
        attacks = [asyncio.create_task(self._monitor())]
        attacks += self._attacks(library)
        try:
            async with asyncio.TaskGroup() as group:
                for number, address in enumerate(addresses(options.streams)):
                    start = number * 10_000
                    group.create_task(view(self._running.context, address, start, ended))
                await asyncio.sleep(options.seconds)
                ended.set()
        finally:
            for task in attacks:
                task.cancel()
            for result in await asyncio.gather(*attacks, return_exceptions=True):
                if isinstance(result, Exception):
                    self.faults.append(f"an attack ended: {result!r}")
        for _ in range(SETTLING):
            now = await self.usage()
            if is_as_before(now, before):
                break
            await asyncio.sleep(1)
        return now

    def _attacks(self, library: Path) -> list[asyncio.Task[None]]:
        ports = tuple(int(url.rpartition(":")[2]) for url in self._running.context.workers.urls)
        tasks = []
        for kind, (name, (attack, clients, pause)) in enumerate(ATTACKS.items()):
            for client in range(clients):
                random = Random(f"{self._options.seed}-{name}-{client}")  # noqa: S311
                attacker = Attacker(f"127.0.2.{kind + 1}", ports, random, self.replies[name])
                tasks.append(asyncio.create_task(repeat(attack, attacker, pause)))
        ingesting = ingest_repeatedly(
            library,
            self._running.database_url,
            Random(self._options.seed),  # noqa: S311
            self.replies["library"],
            self.faults,
        )
        return [*tasks, asyncio.create_task(ingesting)]

    async def _monitor(self) -> None:
        counts = self._running.context.tally.counts
        for number in range(1, 1 << 30):
            await asyncio.sleep(INTERVAL)
            found = map(worker_usage, self._running.context.workers.current)
            self.peaks += [usage for usage in found if usage]
            if number % PROGRESS_INTERVAL == 0:
                faults = sum(counts[name] for name in FAULTS) + len(self.faults)
                attacks = sum(replies.total() for replies in self.replies.values())
                print(
                    f"{number * INTERVAL:.0f} s: {counts['turns']:,} turns, {attacks:,} attacks,"
                    f" {faults} faults",
                    file=sys.stderr,
                    flush=True,
                )


def is_as_before(now: Usage, before: Usage) -> bool:
    """Whether nothing is left of the run."""
    return (
        now.redis_keys <= before.redis_keys
        and now.model.connections <= 0
        and all(
            new and old and new.tasks <= old.tasks and new.files <= old.files
            for new, old in zip(now.workers, before.workers, strict=True)
        )
    )


async def hostile(options: Options) -> Outcome:
    """Run the test. Ctrl-C ends it early, with the results so far."""
    async with soak_environment(options.rate, WORKERS, MODEL) as running:
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            with as_file(files("app").joinpath("sample_library")) as sample:
                shutil.copytree(sample, Path(folder, "library"))
            await warm_up(running)
            run = Run(options, running)
            started, before = monotonic(), await run.usage()
            while before.redis_keys and monotonic() - started < SETTLING:
                await asyncio.sleep(1)
                before = await run.usage()
            work = asyncio.create_task(run.run(before, Path(folder, "library")))
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, work.cancel)
            await asyncio.wait([work])
            after = None
            with suppress(asyncio.CancelledError):
                after = work.result()
        tally, workers = running.context.tally, running.context.workers
        log = [f"{one.pid}: {line[:300]}" for one in workers.all for line in one.log]
        return Outcome(
            options=options,
            attacks={name: dict(replies) for name, replies in run.replies.items()},
            counts=dict(tally.counts),
            endings=dict(tally.endings),
            before=before,
            peaks=run.peaks,
            after=after,
            faults=[*run.faults, *tally.examples],
            log=log,
        )
