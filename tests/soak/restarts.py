"""Restarts of workers, by drain and by kill, during a run."""

import asyncio
from random import Random
from time import monotonic

from tests.soak.turns import Tally
from tests.soak.workers import Workers

# The first worker is not restarted after this share of the run, so that its memory can be compared.
BOTH_UNTIL = 0.2
# Mean seconds between two restarts, in a run that is long enough.
INTERVAL = 40.0
# Seconds that a worker may take to exit after its drain time.
EXIT_TIME = 10.0


async def restarts(
    workers: Workers, tally: Tally, *, seconds: float, drain_time: float, seed: int
) -> None:
    """Restart workers one at a time during a run of `seconds`. Every third is killed."""
    random = Random(f"{seed}-restarts")  # noqa: S311 -- not a secret
    started = monotonic()
    interval = min(INTERVAL, seconds / 4)
    count = 0
    await asyncio.sleep(interval / 2)
    while (elapsed := monotonic() - started) < seconds - drain_time:
        index = count % 2 if elapsed < BOTH_UNTIL * seconds else 1
        if count % 3 == 0:
            tally.counts["workers killed"] += 1
            await workers.kill(index)
        else:
            tally.counts["workers drained"] += 1
            status = await workers.drain(index)
            duration = workers.drain_seconds[-1]
            if status != 0 or duration > drain_time + EXIT_TIME:
                detail = f"a drained worker exited with status {status} after {duration:.1f} s"
                tally.fault("worker faults", detail)
        count += 1
        await asyncio.sleep(random.uniform(0.6, 1.4) * interval)
