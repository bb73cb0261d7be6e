"""What happens in a worker is counted here; `prometheus_text` tells Prometheus of it.

Counting is next to free, since each token pays for it: whoever counts calls a method, and what can
be read when it is asked for is not counted at all but read then, see `Metrics.readings`. A
`prometheus_client.Histogram` takes 9,000 instructions a value, this one 2,500, and 700 where many
values come at once.
"""

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise, product
from math import inf
from operator import sub
from time import perf_counter
from typing import Literal, get_args, get_type_hints

from msgspec import Struct

from app.errors import ChatError, LibraryUnavailable, ModelFailed, ShuttingDown, TurnLost
from app.schemas import Done, Event, Failed, Sources

# The upper bounds of what is told apart, in seconds.
WAITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
FIRSTS = (*WAITS[2:], 10.0, 30.0, 60.0)
TURNS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0)
# The tier of a turn that failed.
NO_TIER = "unknown"
# Seconds from one look at the event loop to the next.
LOOK = 1.0


def _endings() -> Iterator[tuple[str, str]]:
    """Give the tiers and the endings of turns that are to be expected."""
    fields = get_type_hints(Done)
    yield from product(get_args(fields["cascade_tier"]), get_args(fields["finish_reason"]))
    for failure in (LibraryUnavailable, ModelFailed, ShuttingDown, TurnLost):
        yield NO_TIER, failure.kind


def _problems(error: type[ChatError] = ChatError) -> Iterator[str]:
    """Yield the kinds of all errors."""
    yield error.kind
    for narrower in error.__subclasses__():
        yield from _problems(narrower)


class Histogram:
    """How often values up to each of some bounds came; the bounds ascend."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        # Of each bound and what is not above it but above the one before; at last all the others.
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def observe_all(self, values: Iterable[float]) -> None:
        """Count many values, each at a third of what it costs alone."""
        ascending = sorted(values)
        places = [bisect_right(ascending, bound) for bound in self._bounds]
        for place, (begin, end) in enumerate(pairwise((0, *places, len(ascending)))):
            self._counts[place] += end - begin
        self.sum += sum(ascending)

    def buckets(self) -> list[tuple[float, int]]:
        """Return each bound, the last of them infinite, and how many values are not above it."""
        return list(zip((*self._bounds, inf), accumulate(self._counts), strict=True))


class Reading(Struct, frozen=True):
    """What is read when it is asked for: its name without prefix and suffix, and what it is."""

    name: str
    what: str
    read: Callable[[], float]
    kind: Literal["gauge", "counter"] = "gauge"


class TurnTimes:
    """When a turn began, by `perf_counter`, and when each of its tokens came: 8 bytes each."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.tokens = array("d")


class Metrics:
    """All that one worker counts. Times are in seconds."""

    def __init__(self) -> None:
        # By tier and ending, and by problem. Those that are to be expected are there from the
        # start: from one that appears with its first turn no rate can be told.
        self.turns = Counter[tuple[str, str]](dict.fromkeys(_endings(), 0))
        self.refusals = Counter[str](dict.fromkeys(_problems(), 0))
        self.resumes = 0
        self.model_retries = 0
        self.model_fallbacks = 0
        self.sources = Histogram(FIRSTS)
        self.first_tokens = Histogram(FIRSTS)
        self.between_tokens = Histogram(WAITS)
        self.turn_durations = Histogram(TURNS)
        self.database_waits = Histogram(WAITS)
        self.loop_lags = Histogram(WAITS)
        self.readings: list[Reading] = []

    def said(self, event: Event, times: TurnTimes) -> None:
        """Count what an event of a turn tells; a token's is its time alone."""
        took = perf_counter() - times.began
        match event:
            case Sources():
                self.sources_found(took)
            case Done():
                self.tokens_came(times.began, times.tokens)
                self.turn_ended(event.cascade_tier, event.finish_reason, took)
            case Failed():
                self.tokens_came(times.began, times.tokens)
                self.turn_ended(None, event.kind, took)

    def sources_found(self, seconds: float) -> None:
        """Count a turn that has its sources, so long after it began."""
        self.sources.observe(seconds)

    def tokens_came(self, began: float, times: Sequence[float]) -> None:
        """Count the tokens of a turn, by when it began and when each came: once, at its end."""
        if times:
            self.first_tokens.observe(times[0] - began)
            self.between_tokens.observe_all(map(sub, times[1:], times))

    def turn_ended(self, tier: str | None, ending: str, seconds: float) -> None:
        """Count a turn: the tier that answered, and a finish reason or the slug of an error.

        Where it failed before there was a tier, that is None.
        """
        self.turns[tier or NO_TIER, ending] += 1
        self.turn_durations.observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a request that got an error instead of a stream, by the error's slug."""
        self.refusals[reason] += 1

    def resumed(self) -> None:
        """Count a viewer who came back."""
        self.resumes += 1

    def model_retried(self) -> None:
        """Count a further try at the same model."""
        self.model_retries += 1

    def model_fell_back(self) -> None:
        """Count a try at the fallback model for want of the first."""
        self.model_fallbacks += 1

    def waited_for_database(self, seconds: float) -> None:
        """Count a connection to the database that was waited for."""
        self.database_waits.observe(seconds)

    @contextmanager
    def watching_the_loop(self, every: float = LOOK) -> Iterator[None]:
        """Look every so many seconds how late the event loop is, for the length of the block."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look(due: float) -> None:
            nonlocal timer
            now = perf_counter()
            self.loop_lags.observe(max(0.0, now - due))
            timer = loop.call_later(every, look, now + every)

        timer = loop.call_later(every, look, perf_counter() + every)
        try:
            yield
        finally:
            timer.cancel()
