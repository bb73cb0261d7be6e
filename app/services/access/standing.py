"""What limits leave to a caller, and why they refuse a request."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from app.errors import TooManyRequests
from app.services.access.counts import DAY, MINUTE, SECOND, Policy, Use
from app.services.access.limits import Holder

# Seconds to wait for one of several turns to end.
RETRY_RUNNING = 3
_WHOSE = {
    "address": "from one network address",
    "subject": "by one user",
    "key": "with one API key",
    "service": "by all users together",
}


class Standing(Struct, frozen=True):
    """One limit of a caller: what remains, and the seconds until all of it is available again.

    `window` is in seconds; the limit on running turns has none.
    """

    policy: Policy
    limit: int
    remaining: int
    window: int | None = None
    reset: int | None = None


def standings(holders: Sequence[Holder], uses: Sequence[Use]) -> tuple[Standing, ...]:
    """Return the tightest limit of each kind, without those of the whole service."""
    tightest: dict[str, Standing] = {}
    for holder, use in zip(holders, uses, strict=True):
        if holder.kind == "service":
            continue
        for standing in _all(holder, use):
            known = tightest.get(standing.policy)
            if known is None or standing.remaining < known.remaining:
                tightest[standing.policy] = standing
    return tuple(tightest.values())


def refusal(holder: Holder, use: Use) -> TooManyRequests:
    """Return the error for the limit that was hit."""
    whose, limits = _WHOSE[holder.kind], holder.limits
    seconds = max(1, _seconds(use.wait))
    soon = "in a second" if seconds == 1 else f"in {seconds} seconds"
    match use.refused:
        case "minute":
            detail = (
                f"Questions are limited to {limits.per_minute} a minute {whose}. Try again {soon}."
            )
        case "running":
            seconds = RETRY_RUNNING
            detail = (
                f"Answers are limited to {limits.at_once} at once {whose}."
                " Wait until one has finished, or stop one."
            )
        case "day":
            detail = (
                f"Questions are limited to {limits.per_day} a day {whose}."
                " Try again after midnight UTC."
            )
        case _:
            detail = (
                f"Model tokens are limited to {limits.tokens_per_day} a day {whose}."
                " Try again after midnight UTC."
            )
    return TooManyRequests(detail, limit=use.refused, retry_after=seconds)


def _all(holder: Holder, use: Use) -> Iterator[Standing]:
    limits = holder.limits
    if limits.per_minute:
        left = max(0, (MINUTE - use.full_in) * limits.per_minute // MINUTE)
        yield Standing("minute", limits.per_minute, left, 60, _seconds(use.full_in))
    if limits.per_day:
        yield Standing("day", limits.per_day, max(0, limits.per_day - use.asked), DAY)
    if limits.at_once:
        yield Standing("running", limits.at_once, max(0, limits.at_once - use.running))
    if limits.tokens_per_day:
        left = max(0, limits.tokens_per_day - use.tokens)
        yield Standing("tokens", limits.tokens_per_day, left, DAY)


def _seconds(microseconds: int) -> int:
    return -(-microseconds // SECOND)
