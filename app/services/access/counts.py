"""What is counted for each holder, and the rule that admits or refuses a request.

The bucket of a minute is kept as the time when it is full again (the generic cell rate algorithm):
a request moves that time by its price, and is refused if it would be more than a minute away.
`redis_counts` and `local_counts` implement the rule for all workers and for one.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from app.services.access.limits import Limits

# Questions and requests in a minute, questions in a day, running turns, model tokens in a day.
Policy: TypeAlias = Literal["minute", "day", "running", "tokens"]

# Times are in microseconds.
SECOND = 1_000_000
MINUTE = 60 * SECOND
# Requests that are not questions may use the next minute's too, so that whoever has used up the
# questions can still follow, stop and read their answers.
ROOM, OTHER_ROOM = MINUTE, 2 * MINUTE
# Seconds for which a running turn counts without being renewed, and for which counts are kept.
TURN_EXPIRY = 60
EXPIRY = 180
DAY = 86_400


class Demand(Struct, frozen=True):
    """A request: its cost in thousandths of a question, and the turn that it starts, if any."""

    cost: int
    turn_id: str = ""


class Use(Struct, frozen=True, array_like=True):
    """A holder's use after a request, or before it if it was refused.

    `wait` is the time until it can be admitted, 0 if unknown, and `full_in` the time until the
    bucket is full.
    """

    refused: Policy | Literal[""]
    wait: int
    full_in: int
    asked: int
    tokens: int
    running: int


def price(cost: int, per_minute: int) -> int:
    """Return the time in which the bucket refills what a request takes from it.

    Rounded down, so that a minute has room for all its questions.
    """
    return cost * 60_000 // per_minute if per_minute else 0


def lifetime(limits: Limits, now: float) -> int:
    """Return the seconds to keep a holder's counts at a Unix time: up to midnight if need be."""
    daily = limits.per_day or limits.tokens_per_day
    return EXPIRY + (DAY - int(now) % DAY if daily else 0)


def refused(uses: Sequence[Use]) -> bool:
    """Return whether any holder refuses."""
    return any(use.refused for use in uses)
