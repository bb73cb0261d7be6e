"""The largest number of streams that a server sustains on one core."""

from collections.abc import Sequence

from msgspec import Struct

from tests.bench.client import Load
from tests.bench.harness import Harness, InvalidRun
from tests.bench.results import Figure, Step
from tests.bench.script import Script
from tests.bench.subjects import Subject

# Tokens a second of each stream, and the limit of their lateness at p99, in milliseconds.
RATE, MAX_LATENESS_MS = 50, 50
# Seconds that all streams run, and of these the seconds at the start and end that do not count.
SECONDS, SKIP_START, SKIP_END = 3.5, 0.5, 0.1
# (streams, n): from so many streams on, only one viewer in n measures lateness. n is coprime to the
# model's ten slots, so that the sample covers all of them.
SAMPLES = ((400, 11), (120, 3), (0, 1))
# Where to start. FACTOR is the ratio of two steps, FINE the precision of the result.
START = {"reference": 75, "service": 500, "floor": 1_000}
FACTOR, FINE, MAX_STEPS = 1.5, 1.08, 6
# Attempts at a step, since other load on the machine may have disturbed it: failed, and invalid.
MAX_FAILED, MAX_INVALID = 2, 2


class Capacity(Struct, frozen=True):
    """The largest sustained number of streams, and all steps; a lower bound if not `bounded`."""

    streams: int
    bounded: bool
    steps: list[Step]


async def measure(
    harness: Harness, subjects: Sequence[Subject], max_steps: int = MAX_STEPS
) -> tuple[list[Figure], list[Step]]:
    """Search for each server's capacity. Raises InvalidRun if no step succeeds."""
    found = {subject.name: await _search(harness, subject, max_steps) for subject in subjects}
    title = f"streams per core at {RATE} tokens a second"
    note = ", ".join(
        f"{name} may sustain more: the load generator was the limit"
        for name, one in found.items()
        if not one.bounded
    )
    values = {name: [float(one.streams)] for name, one in found.items()}
    steps = [step for one in found.values() for step in one.steps]
    return [Figure("streams", title, values, higher_is_better=True, note=note)], steps


async def _search(harness: Harness, subject: Subject, max_steps: int) -> Capacity:
    """Step up after a success, down after a failure, then bisect between the two."""
    sustained, failed, bounded = 0, 0, True
    streams, steps = START[subject.name], list[Step]()
    for _ in range(max_steps):
        attempts = await _attempts(harness, subject, streams)
        steps += attempts
        if any(step.p99_ms < MAX_LATENESS_MS for step in attempts):
            sustained = streams
        else:
            # If every attempt was invalid, the load generator was the limit, not the server.
            failed, bounded = streams, bool(attempts)
        if sustained and failed and failed <= sustained * FINE:
            break
        if sustained and failed:
            streams = int((sustained * failed) ** 0.5)
        else:
            streams = int(streams * FACTOR if sustained else streams / FACTOR)
    if not sustained:
        raise InvalidRun(
            f"{subject.name} did not sustain {failed} streams, or the load generator was too slow"
        )
    return Capacity(sustained, bounded and failed > 0, steps)


async def _attempts(harness: Harness, subject: Subject, streams: int) -> list[Step]:
    """Try a step until it succeeds or has failed too often; return the valid attempts."""
    attempts: list[Step] = []
    invalid = 0
    while len(attempts) < MAX_FAILED and invalid < MAX_INVALID:
        try:
            attempts.append(await _step(harness, subject, streams))
        except InvalidRun:
            invalid += 1
        else:
            if attempts[-1].p99_ms < MAX_LATENESS_MS:
                break
    return attempts


async def _step(harness: Harness, subject: Subject, streams: int) -> Step:
    tokens = int(SECONDS * RATE)
    sample = next(n for least, n in SAMPLES if streams >= least)
    load = Load(
        chats=streams,
        tokens=tokens,
        at_once=streams,
        opening=20,
        skip_start=SKIP_START,
        skip_end=SKIP_END,
        sample=sample,
    )
    script = Script(tokens, rate=RATE, streams=streams)
    result = await harness.run_timed_load(subject, script, load)
    return Step(subject.name, streams, result.lateness_ms[2], result.late)
