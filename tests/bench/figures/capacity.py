"""The number of concurrent streams that one core sustains, found step by step."""

from collections.abc import Sequence

from msgspec import Struct

from tests.bench.client import Load
from tests.bench.measured import Figure, Step
from tests.bench.script import Script
from tests.bench.stage import Stage, Void
from tests.bench.subjects import Subject

# Tokens per second of each stream, and their allowed lateness at p99, in milliseconds.
RATE, LATEST = 50, 50
# Seconds that all streams run together, and at the start and at the end that do not count.
TOGETHER, AFTER, BEFORE = 3.5, 0.5, 0.1
# From this number of streams, one in this many is read as it arrives (in all ten model slots).
SAMPLES = ((400, 11), (120, 3), (0, 1))
# The first steps, from earlier results, and the factor between two steps.
BEGIN = {"reference": 75, "service": 500, "floor": 1_000}
FACTOR, FINE, MAX_STEPS, TRIES = 1.5, 1.08, 6, 2
# Attempts at a void step: another process may have used the machine for a moment.
MAX_VOID = 2


class Found(Struct, frozen=True):
    """The most streams that were sustained, whether that is a lower bound, and all steps."""

    streams: int
    bounded: bool
    steps: list[Step]


async def measure(
    stage: Stage, subjects: Sequence[Subject], most_steps: int = MAX_STEPS
) -> tuple[list[Figure], list[Step]]:
    """Find the most streams that each server sustains. Raises Void if it sustains none."""
    found = {subject.name: await _search(stage, subject, most_steps) for subject in subjects}
    title = f"streams of {RATE} tokens a second that a core holds"
    note = ", ".join(
        f"{name} may hold more: what is around it could not follow"
        for name, one in found.items()
        if not one.bounded
    )
    values = {name: [float(one.streams)] for name, one in found.items()}
    steps = [step for one in found.values() for step in one.steps]
    return [Figure("streams", title, values, more=True, note=note)], steps


async def _search(stage: Stage, subject: Subject, most_steps: int) -> Found:
    """Step up while the server keeps up, down while it does not, and then between the two."""
    held, failed, bounded = 0, 0, True
    streams, steps = BEGIN[subject.name], list[Step]()
    for _ in range(most_steps):
        tried = await _tried(stage, subject, streams)
        steps += tried
        if any(step.p99_ms < LATEST for step in tried):
            held = streams
        else:
            # If the model or the client was too slow, the server did not fail.
            failed, bounded = streams, bool(tried)
        if held and failed and failed <= held * FINE:
            break
        if held and failed:
            streams = int((held * failed) ** 0.5)
        else:
            streams = int(streams * FACTOR if held else streams / FACTOR)
    if not held:
        raise Void(f"{subject.name} holds not even {failed} streams, or nothing could follow")
    return Found(held, bounded and failed > 0, steps)


async def _tried(stage: Stage, subject: Subject, streams: int) -> list[Step]:
    """Try a step, and repeat it if it failed: another process may have used the machine."""
    tried: list[Step] = []
    void = 0
    while len(tried) < TRIES and void < MAX_VOID:
        try:
            tried.append(await _step(stage, subject, streams))
        except Void:
            void += 1
        else:
            if tried[-1].p99_ms < LATEST:
                break
    return tried


async def _step(stage: Stage, subject: Subject, streams: int) -> Step:
    tokens = int(TOGETHER * RATE)
    sample = next(one for most, one in SAMPLES if streams >= most)
    load = Load(
        chats=streams,
        tokens=tokens,
        at_once=streams,
        opening=20,
        after=AFTER,
        before=BEFORE,
        sample=sample,
    )
    outcome = await stage.timed(subject, Script(tokens, rate=RATE, streams=streams), load)
    return Step(subject.name, streams, outcome.lateness_ms[2], outcome.late)
