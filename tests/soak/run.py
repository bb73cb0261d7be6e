"""Run a soak with its servers."""

import asyncio
import os
import signal
import sys
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from tests.bench.observe import cpu_seconds
from tests.service import CHAT
from tests.soak import launcher, script, stage
from tests.soak.crowd import Crowd
from tests.soak.observe import Moment, moment
from tests.soak.report import Outcome
from tests.soak.restarts import restarts
from tests.soak.stage import Stage, staged
from tests.soak.turns import FAULTS

# Seconds between two observations, for clients to start, and for everything to expire at the end.
EVERY, RAMP = 2.0, 10.0
SETTLED = stage.REPLAY + stage.MEMORY_TTL + stage.GRACE + 20
# Observations between two progress lines.
LINES = 15


class Options(Struct, frozen=True):
    """Duration in seconds, concurrent streams, tokens per second of each, and the random seed."""

    seconds: float
    streams: int
    rate: float
    seed: int


class _Soak:
    """A run: its servers, and the observations so far."""

    def __init__(self, options: Options, staged: Stage) -> None:
        self.moments: list[Moment] = []
        self.began = monotonic()
        self.used: dict[str, float] = {}
        self._options, self._stage = options, staged
        self._crowd = Crowd(staged.scene, options.seed)
        self._cpu_before = self._cpu()

    def cores(self) -> dict[str, float]:
        """Return how many cores each process except the workers has used since the start."""
        seconds = monotonic() - self.began
        return {name: (now - self._cpu_before[name]) / seconds for name, now in self._cpu().items()}

    def _cpu(self) -> dict[str, float]:
        processes = {"clients": os.getpid(), **self._stage.processes}
        return {name: cpu_seconds([pid]) for name, pid in processes.items()}

    async def look(self) -> Moment:
        """Observe everything now."""
        up = self._stage
        at, lives = monotonic() - self.began, up.scene.workers.lives
        asking = self._crowd.asking
        return await moment(at, asking, lives, up.redis, up.scene.http, up.model)

    async def run(self, before: Moment) -> Moment:
        """Let clients ask while workers restart; then wait until all data has expired."""
        options, scene = self._options, self._stage.scene
        self.began, self._cpu_before = monotonic(), self._cpu()
        looking = asyncio.create_task(self._look_on())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._crowd.run(options.streams, min(RAMP, options.seconds / 5)))
            group.create_task(
                restarts(
                    scene.workers,
                    scene.tally,
                    seconds=options.seconds,
                    drain_time=stage.DRAIN_TIME,
                    seed=options.seed,
                )
            )
            await asyncio.sleep(options.seconds)
            self._crowd.end()
        looking.cancel()
        self.used = self.cores()
        for _ in range(SETTLED):
            now = await self.look()
            if _as_before(now, before):
                break
            await asyncio.sleep(1)
        return now

    async def _look_on(self) -> None:
        tally = self._stage.scene.tally
        while True:
            await asyncio.sleep(EVERY)
            self.moments.append(now := await self.look())
            if len(self.moments) % LINES == 0:
                faults = sum(tally.counts[name] for name in FAULTS)
                told = f"{tally.counts['turns']:,} turns, {tally.counts['events']:,} events"
                print(f"{now.at:.0f} s: {told}, {faults} faults", file=sys.stderr, flush=True)


async def soak(options: Options) -> Outcome:
    """Run a soak; after Ctrl-C the outcome is that of the time until then."""
    async with staged(options.rate) as up:
        running = _Soak(options, up)
        untouched = await running.look()
        await _warm_up(up)
        # Wait until workers have counted their tasks again.
        await asyncio.sleep(3 * launcher.SECONDS)
        before = replace(await running.look(), redis_keys=untouched.redis_keys)
        work = asyncio.create_task(running.run(before))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        await asyncio.wait([work])
        after = None if work.cancelled() else work.result()
        tally, workers = up.scene.tally, up.scene.workers
        log = [f"{life.pid}: {line[:300]}" for life in workers.all for line in life.log]
        for line in log:
            if " WARNING " not in line:
                tally.fault("faults of workers", line)
        return Outcome(
            settings=_settings(options),
            seconds=min(options.seconds, monotonic() - running.began),
            counts=dict(tally.counts),
            endings=dict(tally.endings),
            stop_seconds=tally.stop_seconds,
            drain_seconds=workers.drain_seconds,
            cpu=running.used or running.cores(),
            before=before,
            moments=running.moments,
            after=after,
            examples=tally.examples,
            log=log,
        )


async def _warm_up(up: Stage) -> None:
    """Start and stop a stream on each worker: some of what that starts stays."""
    for url in up.scene.workers.urls:
        body = {"query": script.question(0)}
        async with up.scene.http.post(url + CHAT, json=body) as reply:
            turn_id = reply.headers["X-Turn-Id"]
            async with up.scene.http.delete(f"{url}{CHAT}/{turn_id}"):
                await reply.read()


def _settings(options: Options) -> dict[str, float]:
    chosen = {"streams": options.streams, "tokens/s": options.rate, "seed": options.seed}
    return {**chosen, **stage.SETTINGS}


def _as_before(now: Moment, before: Moment) -> bool:
    """Return whether nothing is left of the clients' questions."""
    workers = zip(now.workers, before.workers, strict=True)
    return (
        now.redis_keys <= before.redis_keys
        and now.model.connections == 0
        and all(new and old and new.tasks <= old.tasks for new, old in workers)
    )
