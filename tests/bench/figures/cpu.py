"""The CPU time of several kinds of chats."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tests.bench.client import Load
from tests.bench.measured import Figure
from tests.bench.observe import cpu_seconds
from tests.bench.script import Script
from tests.bench.stage import Stage
from tests.bench.subjects import NAMES, Subject

# Streams of the paced load, and tokens per second of each: the most the reference sustains.
STREAMS, RATE = 200, 12.5
MAX_OPENING = 10


class Kind(Struct, frozen=True):
    """A kind of chat, and the chats per round: enough for the resolution of /proc."""

    key: str
    title: str
    script: Script
    chats: Mapping[str, int]
    at_once: int


KINDS = {
    kind.key: kind
    for kind in (
        Kind(
            "single",
            "CPU of a chat of 1 token, ms",
            Script(1),
            {"reference": 150, "service": 300, "floor": 1_500},
            at_once=8,
        ),
        Kind(
            "burst",
            "CPU of a chat of 200 tokens in a burst, ms",
            Script(200),
            {"reference": 100, "service": 400, "floor": 1_000},
            at_once=8,
        ),
        Kind(
            "paced",
            f"CPU of a chat of 200 tokens, {STREAMS} streams paced, ms",
            Script(200, rate=RATE, streams=STREAMS),
            dict.fromkeys(NAMES, STREAMS),
            at_once=STREAMS,
        ),
    )
}


async def measure(
    stage: Stage, subjects: Sequence[Subject], kind: Kind, rounds: int
) -> list[Figure]:
    """Run the chats on each server, in reverse order every other round. Raises Void."""
    values: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects[:: -1 if number % 2 else 1]:
            spent = await chats(stage, subject, kind, kind.chats[subject.name])
            values[subject.name].append(spent)
    return [Figure(kind.key, kind.title, values)]


async def chats(stage: Stage, subject: Subject, kind: Kind, number: int) -> float:
    """Return the CPU time per chat, in milliseconds. Raises Void."""
    opening = min(MAX_OPENING, kind.at_once)
    load = Load(chats=number, tokens=kind.script.tokens, at_once=kind.at_once, opening=opening)
    before = cpu_seconds([subject.pid])
    await stage.load(subject, kind.script, load)
    return (cpu_seconds([subject.pid]) - before) * 1_000 / number
