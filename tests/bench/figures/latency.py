"""Latency at low load: to `sources`, to the first token, and of each token."""

from collections.abc import Sequence

from tests.bench.client import Load
from tests.bench.harness import Harness
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import Subject

CHATS = 60
# One stream for one second, so that nothing queues.
RATE, TOKENS = 100, 100


async def measure(harness: Harness, subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Ask one question after the other, then read one stream. Raises InvalidRun.

    The model sends its first token at once, so the time to it is the server's own.
    """
    names = [subject.name for subject in subjects]
    sources, first, token = ({name: list[float]() for name in names} for _ in range(3))
    for number in range(rounds):
        for subject in subjects[:: -1 if number % 2 else 1]:
            load = Load(chats=CHATS, tokens=1, at_once=1, opening=1)
            chats = await harness.run_timed_load(subject, Script(1), load)
            sources[subject.name].append(chats.sources_ms[0])
            first[subject.name].append(chats.first_token_ms[0])
            load = Load(chats=1, tokens=TOKENS, at_once=1, opening=1, steps=True)
            script = Script(TOKENS, rate=RATE, streams=1, steps=True)
            stream = await harness.run_timed_load(subject, script, load)
            token[subject.name].append(stream.lateness_ms[0])
    return [
        Figure("sources_ms", "time to `sources`, ms", sources),
        Figure("first_token_ms", "time to first token, ms", first),
        Figure("gap_ms", "token latency, model to viewer, ms", token),
    ]
