"""Report what clients counted and what was observed as one table. Pure."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import mean, quantiles

from msgspec import Struct

from tests.soak.observe import Moment, Process
from tests.soak.turns import FAULTS

# Limit of the first worker's memory in the last quarter of a run, relative to the second.
GROWTH = 1.05
# Seconds: shorter runs do not measure memory growth.
SHORTEST = 180.0


class Outcome(Struct, frozen=True):
    """A run. `before` and `after` are of idle workers; `after` is None if interrupted.

    `cpu` is the number of cores that each process used.
    """

    settings: dict[str, float]
    seconds: float
    counts: dict[str, int]
    endings: dict[str, int]
    stop_seconds: list[float]
    drain_seconds: list[float]
    cpu: dict[str, float]
    before: Moment
    moments: list[Moment]
    after: Moment | None
    examples: list[str]
    log: list[str]


class Row(Struct, frozen=True):
    """A row of the table; `good` is None if it has no limit."""

    name: str
    value: str
    wanted: str = ""
    good: bool | None = None


def passed(outcome: Outcome) -> bool:
    """Return whether the run has no fault and all its checks were made."""
    return outcome.after is not None and all(row.good is not False for row in rows(outcome))


def as_table(outcome: Outcome) -> str:
    """Format the table in Markdown, with examples of faults below it."""
    lines = ["| what | seen | wanted | |", "| --- | ---: | ---: | --- |"]
    marks = {True: "ok", False: "**NOT OK**", None: ""}
    lines += [f"| {r.name} | {r.value} | {r.wanted} | {marks[r.good]} |" for r in rows(outcome)]
    if outcome.after is None:
        lines += ["", "The run was cut off: what was under way then is not judged."]
    if outcome.examples:
        lines += ["", "The first faults:", "", *(f"- {example}" for example in outcome.examples)]
    return "\n".join(lines)


def rows(outcome: Outcome) -> Iterator[Row]:
    """Yield the rows of the table."""
    settings = ", ".join(f"{name} {value:g}" for name, value in outcome.settings.items())
    yield Row("settings", settings)
    yield Row("seconds", f"{outcome.seconds:.0f}")
    for name in FAULTS:
        count = outcome.counts.get(name, 0)
        yield Row(name, f"{count:,}", "0", count == 0)
    yield from _growth(outcome)
    yield from _idle(outcome)
    for ending, count in sorted(outcome.endings.items()):
        yield Row(f"turns that ended: {ending}", f"{count:,}")
    for name, count in sorted(outcome.counts.items()):
        if name not in FAULTS:
            yield Row(name, f"{count:,}")
    if outcome.stop_seconds:
        yield Row("stop to last event, ms, p50 / p95 / highest", _spread(outcome.stop_seconds))
    if outcome.drain_seconds:
        yield Row("drained in s, highest", f"{max(outcome.drain_seconds):.1f}")
    yield Row("warnings and errors in the workers' logs", f"{len(outcome.log):,}")
    yield from _load(outcome)


def _growth(outcome: Outcome) -> Iterator[Row]:
    """The first worker, restarted only in the first fifth: its second and its last quarter."""
    second, last = (_part(outcome, start) for start in (0.25, 0.75))
    judged = outcome.seconds >= SHORTEST and bool(second) and bool(last)
    if not second or not last:
        return
    if {one.pid for one in second} != {one.pid for one in last}:
        judged = False
    early, late = (mean(one.memory for one in part) for part in (second, last))
    wanted = f"at most +{GROWTH - 1:.0%}" if judged else "not judged"
    good = late <= early * GROWTH if judged else None
    name = "memory of worker 1, MB, second / last quarter"
    yield Row(name, f"{early:.1f} / {late:.1f}", wanted, good)
    name = "tasks a socket of worker 1, second / last quarter"
    early, late = (mean(one.tasks / one.sockets for one in part) for part in (second, last))
    yield Row(name, f"{early:.2f} / {late:.2f}")


def _part(outcome: Outcome, start: float) -> list[Process]:
    """The first worker in a quarter of the run."""
    return [
        moment.workers[0]
        for moment in outcome.moments
        if start <= moment.at / outcome.seconds < start + 0.25 and moment.workers[0]
    ]


def _idle(outcome: Outcome) -> Iterator[Row]:
    """What must be the same at the end as at the start."""
    before, after = outcome.before, outcome.after
    if after is None:
        return

    def of_workers(moment: Moment, value: Callable[[Process], float], form: str = "{:g}") -> str:
        return " / ".join(form.format(value(one)) if one else "–" for one in moment.workers)

    pairs = list(zip(before.workers, after.workers, strict=True))
    flat = all(old and new and new.tasks <= old.tasks for old, new in pairs)
    tasks = of_workers(before, lambda one: one.tasks)
    yield Row("tasks of idle workers", of_workers(after, lambda one: one.tasks), tasks, flat)
    keys = after.redis_keys
    yield Row("Redis keys", f"{keys:,}", f"{before.redis_keys:,}", keys <= before.redis_keys)
    for name, left in (
        ("answers that the model still gives", after.model.answering),
        ("connections to the model", after.model.connections),
    ):
        yield Row(name, f"{left}", "0", left == 0)
    for name, value in (
        ("memory of idle workers, MB, before → after", lambda one: one.memory),
        ("open files of idle workers", lambda one: one.files),
        ("threads of idle workers", lambda one: one.threads),
    ):
        old, new = (of_workers(moment, value, "{:.0f}") for moment in (before, after))
        yield Row(name, f"{old} → {new}")
    for name, values in (
        ("Redis memory, MB", (before.redis_memory, after.redis_memory)),
        ("Redis connections", (before.redis_clients, after.redis_clients)),
    ):
        yield Row(f"{name}, before → after", " → ".join(f"{value:.3g}" for value in values))


def _load(outcome: Outcome) -> Iterator[Row]:
    for name, cores in {**outcome.cpu, "workers": _workers_cores(outcome)}.items():
        yield Row(f"cores used: {name}", f"{cores:.2f}")
    moments = outcome.moments
    if not moments:
        return
    machine = (moments[-1].machine - moments[0].machine) / max(moments[-1].at - moments[0].at, 1)
    yield Row("cores used: all on this machine, the soak's or not", f"{machine:.2f}")
    seen = [one for moment in moments for one in moment.workers if one]
    for name, values in (
        ("clients at a time, most", [moment.asking for moment in moments]),
        ("answers given by the model at a time, most", [m.model.answering for m in moments]),
        ("Redis keys, most", [moment.redis_keys for moment in moments]),
        ("Redis memory, MB, most", [moment.redis_memory for moment in moments]),
        ("Redis connections, most", [moment.redis_clients for moment in moments]),
        ("Redis, ms for a reply, most", [moment.redis_took for moment in moments]),
        ("memory of a worker, MB, most", [one.memory for one in seen]),
        ("open files of a worker, most", [one.files for one in seen]),
        ("sockets of a worker, most", [one.sockets for one in seen]),
        ("threads of a worker, most", [one.threads for one in seen]),
        ("tasks of a worker, most", [one.tasks for one in seen]),
    ):
        yield Row(name, f"{max(values, default=0):,.0f}")


def _workers_cores(outcome: Outcome) -> float:
    """Sum the workers' CPU between observations."""
    used = spent = 0.0
    for earlier, later in pairwise([outcome.before, *outcome.moments]):
        spent += later.at - max(earlier.at, 0)
        for old, new in zip(earlier.workers, later.workers, strict=True):
            if old and new and old.pid == new.pid:
                used += new.cpu - old.cpu
    return used / spent if spent else 0.0


def _spread(seconds: list[float]) -> str:
    cuts = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    return " / ".join(f"{value * 1_000:.0f}" for value in (cuts[9], cuts[18], max(seconds)))
