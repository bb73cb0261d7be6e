"""Latency at low load."""

from collections.abc import Sequence

from tests.bench.client import Load
from tests.bench.measured import Figure
from tests.bench.script import Script
from tests.bench.stage import Stage
from tests.bench.subjects import Subject

CHATS = 60
# One stream for a second, so that nothing is queued.
RATE, TOKENS = 100, 100


async def measure(stage: Stage, subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Ask one question after the other, then follow one stream. Raises Void.

    The model sends its first token at once, so all the time until then is the server's.
    """
    names = [subject.name for subject in subjects]
    sources, first, gap = ({name: list[float]() for name in names} for _ in range(3))
    for number in range(rounds):
        for subject in subjects[:: -1 if number % 2 else 1]:
            load = Load(chats=CHATS, tokens=1, at_once=1, opening=1)
            alone = await stage.timed(subject, Script(1), load)
            sources[subject.name].append(alone.sources_ms[0])
            first[subject.name].append(alone.first_token_ms[0])
            load = Load(chats=1, tokens=TOKENS, at_once=1, opening=1, steps=True)
            script = Script(TOKENS, rate=RATE, streams=1, steps=True)
            stream = await stage.timed(subject, script, load)
            gap[subject.name].append(stream.lateness_ms[0])
    return [
        Figure("sources_ms", "time to `sources`, ms", sources),
        Figure("first_token_ms", "first token over the model's own, ms", first),
        Figure("gap_ms", "a token's way from model to viewer, ms", gap),
    ]
