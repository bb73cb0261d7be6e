"""Drain or kill workers, one after another, and start them again."""

import asyncio
from random import Random
from time import monotonic

from tests.soak.turns import Tally
from tests.soak.workers import Workers

# The first worker is not restarted after this part of the run, to measure memory growth.
BOTH = 0.2
# Seconds between two restarts, if the run is long enough.
EVERY = 40.0
# Seconds that a worker may take beyond its drain time, for last events and the log.
SLACK = 10.0


async def restarts(
    workers: Workers, tally: Tally, *, seconds: float, drain_time: float, seed: int
) -> None:
    """Restart workers, one at a time, for `seconds`. Every third is killed."""
    random = Random(f"{seed}-restarts")  # noqa: S311 -- chance, no secret
    began = monotonic()
    every = min(EVERY, seconds / 4)
    count = 0
    await asyncio.sleep(every / 2)
    while (gone := monotonic() - began) < seconds - drain_time:
        place = count % 2 if gone < BOTH * seconds else 1
        if count % 3 == 0:
            tally.counts["workers killed"] += 1
            await workers.kill(place)
        else:
            tally.counts["workers drained"] += 1
            status = await workers.drain(place)
            took = workers.drain_seconds[-1]
            if status != 0 or took > drain_time + SLACK:
                detail = f"a drained worker ended with status {status} after {took:.1f} s"
                tally.fault("faults of workers", detail)
        count += 1
        await asyncio.sleep(random.uniform(0.6, 1.4) * every)
