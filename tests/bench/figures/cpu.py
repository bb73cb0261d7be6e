"""CPU per chat, for several kinds of chats."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tests.bench.client import Load
from tests.bench.harness import Harness
from tests.bench.observe import cpu_seconds
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import NAMES, Subject

# Streams of the paced load, and tokens a second of each: what the reference can just sustain.
STREAMS, RATE = 200, 12.5
MAX_OPENING = 10


class Kind(Struct, frozen=True):
    """A kind of chat; `chats` per server and round are enough for the clock of /proc."""

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
            "CPU per chat of 1 token, ms",
            Script(1),
            {"reference": 150, "service": 300, "floor": 1_500},
            at_once=8,
        ),
        Kind(
            "burst",
            "CPU per chat of 200 tokens, burst, ms",
            Script(200),
            {"reference": 100, "service": 400, "floor": 1_000},
            at_once=8,
        ),
        Kind(
            "paced",
            f"CPU per chat of 200 tokens, {STREAMS} paced streams, ms",
            Script(200, rate=RATE, streams=STREAMS),
            dict.fromkeys(NAMES, STREAMS),
            at_once=STREAMS,
        ),
    )
}


async def measure(
    harness: Harness, subjects: Sequence[Subject], kind: Kind, rounds: int
) -> list[Figure]:
    """Run the servers alternately, with the order reversed each round. Raises InvalidRun."""
    values: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects[:: -1 if number % 2 else 1]:
            spent = await cpu_per_chat(harness, subject, kind, kind.chats[subject.name])
            values[subject.name].append(spent)
    return [Figure(kind.key, kind.title, values)]


async def cpu_per_chat(harness: Harness, subject: Subject, kind: Kind, chats: int) -> float:
    """Return the mean CPU time of `chats` chats, in ms. Raises InvalidRun."""
    opening = min(MAX_OPENING, kind.at_once)
    load = Load(chats=chats, tokens=kind.script.tokens, at_once=kind.at_once, opening=opening)
    before = cpu_seconds([subject.pid])
    await harness.run_load(subject, kind.script, load)
    return (cpu_seconds([subject.pid]) - before) * 1_000 / chats
