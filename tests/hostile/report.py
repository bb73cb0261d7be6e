"""The checks of a hostile run, and their table."""

from collections import Counter
from collections.abc import Callable, Iterator
from statistics import mean

from tests.hostile.run import Outcome, Usage
from tests.soak.observe import WorkerUsage
from tests.soak.report import Row, table
from tests.soak.turns import FAULTS

# Limit of an idle worker's memory after the run, relative to that before, and of the counts of
# limits for each address in Redis.
MAX_GROWTH, MAX_COUNTS = 1.25, 4
SHOWN = 20


def passed(outcome: Outcome) -> bool:
    """Whether the run was complete and no check failed."""
    return outcome.after is not None and all(row.passed is not False for row in rows(outcome))


def as_table(outcome: Outcome) -> str:
    """Write the table, and the first faults and log lines below it."""
    lines = table(rows(outcome))
    if outcome.after is None:
        lines += ["", "The run was interrupted."]
    for title, found in ("First faults:", outcome.faults), ("Errors in logs:", errors(outcome)):
        if found:
            lines += ["", title, "", *(f"- {line}" for line in found[:SHOWN])]
    return "\n".join(lines)


def errors(outcome: Outcome) -> list[str]:
    """Return the log lines that are more than warnings."""
    return [line for line in outcome.log if " WARNING " not in line]


def rows(outcome: Outcome) -> Iterator[Row]:
    """Yield the rows of the table."""
    options = outcome.options
    yield Row("seconds, streams, seed", f"{options.seconds:g}, {options.streams}, {options.seed}")
    yield Row("events of the streams", f"{outcome.counts.get('events', 0):,}")
    for name in FAULTS:
        count = outcome.counts.get(name, 0)
        yield Row(name, f"{count:,}", "0", count == 0)
    for ending, count in sorted(outcome.endings.items()):
        yield Row(f"turns that ended: {ending}", f"{count:,}")
    for name, replies in outcome.attacks.items():
        found = ", ".join(f"{reply} {count:,}" for reply, count in Counter(replies).most_common(9))
        # What never got a reply has not been tested.
        answered = bool(replies) and "500" not in replies
        yield Row(f"replies to {name}", found or "none", "some, no 500", answered)
    count = sum(line.startswith(("ingestion", "an attack")) for line in outcome.faults)
    yield Row("failed runs of ingestion, failed attacks", f"{count}", "0", count == 0)
    yield Row("errors in logs", f"{len(errors(outcome))}", "0", not errors(outcome))
    yield Row("warnings in logs", f"{len(outcome.log) - len(errors(outcome)):,}")
    if outcome.after:
        yield from _left(outcome, outcome.after)


def _left(outcome: Outcome, after: Usage) -> Iterator[Row]:
    before, peaks = outcome.before, outcome.peaks
    measures: dict[str, tuple[Callable[[WorkerUsage], float], float]] = {
        "memory of a worker, MB": (lambda one: one.memory, MAX_GROWTH),
        "open files of a worker": (lambda one: one.files, 1),
        "tasks of a worker": (lambda one: one.tasks, 1),
    }
    for name, (value, growth) in measures.items():
        old = max(value(one) for one in before.workers if one)
        new = max((value(one) for one in after.workers if one), default=0)
        peak = max(map(value, peaks), default=0)
        complete = None not in after.workers
        expected = f"at most {old * growth:.0f}"
        values = f"{old:.0f} / {peak:.0f} / {new:.0f}"
        yield Row(
            f"{name}, before / peak / after", values, expected, complete and new <= old * growth
        )
    quarters = [_mean_memory(outcome, quarter) for quarter in (1, 3)]
    yield Row("memory of a worker, MB, second / last quarter", "{:.0f} / {:.0f}".format(*quarters))
    for name, left, limit in (
        ("Redis keys", after.redis_keys, before.redis_keys),
        ("counts of limits in Redis", after.counts, MAX_COUNTS * (outcome.options.streams + 10)),
        ("connections to the model", after.model.connections, 0),
        ("answers in progress at the model", after.model.in_progress, 0),
    ):
        yield Row(name, f"{left}", f"at most {limit}", left <= limit)


def _mean_memory(outcome: Outcome, quarter: int) -> float:
    size = len(outcome.peaks) // 4
    part = outcome.peaks[quarter * size : (quarter + 1) * size]
    return mean(one.memory for one in part) if part else 0
