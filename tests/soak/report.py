"""The result of a soak test: its checks and their table."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from statistics import mean, quantiles

from msgspec import Struct

from tests.soak.observe import Snapshot, WorkerUsage
from tests.soak.turns import FAULTS

# Limit of the first worker's memory in the last quarter of a run, relative to the second quarter.
MAX_GROWTH = 1.05
# Seconds; memory is not checked in shorter runs.
MIN_SECONDS = 180.0


class Outcome(Struct, frozen=True):
    """Result of a run. `before` and `after` are of idle workers; `after` is None if interrupted.

    `cpu` is the cores used by each process except the workers.
    """

    settings: dict[str, float]
    seconds: float
    counts: dict[str, int]
    endings: dict[str, int]
    stop_seconds: list[float]
    drain_seconds: list[float]
    cpu: dict[str, float]
    before: Snapshot
    snapshots: list[Snapshot]
    after: Snapshot | None
    examples: list[str]
    log: list[str]


class Row(Struct, frozen=True):
    """A row of the table; `passed` is None if it is only informative."""

    name: str
    value: str
    expected: str = ""
    passed: bool | None = None


def passed(outcome: Outcome) -> bool:
    """Whether the run was complete and no check failed."""
    return outcome.after is not None and all(row.passed is not False for row in rows(outcome))


def as_table(outcome: Outcome) -> str:
    """Write the table, and examples of faults below it."""
    lines = table(rows(outcome))
    if outcome.after is None:
        lines += ["", "The run was interrupted: turns in progress were not checked."]
    if outcome.examples:
        lines += ["", "First faults:", "", *(f"- {example}" for example in outcome.examples)]
    return "\n".join(lines)


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of a table."""
    lines = ["| check | value | expected | |", "| --- | ---: | ---: | --- |"]
    marks = {True: "ok", False: "**NOT OK**", None: ""}
    return lines + [f"| {r.name} | {r.value} | {r.expected} | {marks[r.passed]} |" for r in rows]


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
        yield Row("stop to last event, ms, p50 / p95 / maximum", _percentiles(outcome.stop_seconds))
    if outcome.drain_seconds:
        yield Row("drain, s, maximum", f"{max(outcome.drain_seconds):.1f}")
    yield Row("warnings and errors in the workers' logs", f"{len(outcome.log):,}")
    yield from _load(outcome)


def _growth(outcome: Outcome) -> Iterator[Row]:
    """Compare the first worker's second and last quarter; it is not restarted in between."""
    second, last = (_quarter(outcome, start) for start in (0.25, 0.75))
    checked = outcome.seconds >= MIN_SECONDS and bool(second) and bool(last)
    if not second or not last:
        return
    if {one.pid for one in second} != {one.pid for one in last}:
        checked = False
    early, late = (mean(one.memory for one in part) for part in (second, last))
    expected = f"at most +{MAX_GROWTH - 1:.0%}" if checked else "not checked"
    passed = late <= early * MAX_GROWTH if checked else None
    name = "memory of worker 1, MB, second / last quarter"
    yield Row(name, f"{early:.1f} / {late:.1f}", expected, passed)
    name = "tasks per socket of worker 1, second / last quarter"
    early, late = (mean(one.tasks / one.sockets for one in part) for part in (second, last))
    yield Row(name, f"{early:.2f} / {late:.2f}")


def _quarter(outcome: Outcome, start: float) -> list[WorkerUsage]:
    """The first worker's usage in a quarter of the run."""
    return [
        snapshot.workers[0]
        for snapshot in outcome.snapshots
        if start <= snapshot.at / outcome.seconds < start + 0.25 and snapshot.workers[0]
    ]


def _idle(outcome: Outcome) -> Iterator[Row]:
    """Compare idle workers, Redis and the model before and after."""
    before, after = outcome.before, outcome.after
    if after is None:
        return

    def of_workers(
        snapshot: Snapshot, value: Callable[[WorkerUsage], float], form: str = "{:g}"
    ) -> str:
        return " / ".join(form.format(value(one)) if one else "–" for one in snapshot.workers)

    pairs = list(zip(before.workers, after.workers, strict=True))
    flat = all(old and new and new.tasks <= old.tasks for old, new in pairs)
    tasks = of_workers(before, lambda one: one.tasks)
    yield Row("tasks of idle workers", of_workers(after, lambda one: one.tasks), tasks, flat)
    keys = after.redis_keys
    yield Row("Redis keys", f"{keys:,}", f"{before.redis_keys:,}", keys <= before.redis_keys)
    for name, left in (
        ("answers in progress at the model", after.model.in_progress),
        ("connections to the model", after.model.connections),
    ):
        yield Row(name, f"{left}", "0", left == 0)
    for name, value in (
        ("memory of idle workers, MB, before → after", lambda one: one.memory),
        ("open files of idle workers", lambda one: one.files),
        ("threads of idle workers", lambda one: one.threads),
    ):
        old, new = (of_workers(one, value, "{:.0f}") for one in (before, after))
        yield Row(name, f"{old} → {new}")
    for name, values in (
        ("Redis memory, MB", (before.redis_memory, after.redis_memory)),
        ("Redis connections", (before.redis_clients, after.redis_clients)),
    ):
        yield Row(f"{name}, before → after", " → ".join(f"{value:.3g}" for value in values))


def _load(outcome: Outcome) -> Iterator[Row]:
    for name, cores in {**outcome.cpu, "workers": _workers_cores(outcome)}.items():
        yield Row(f"cores used: {name}", f"{cores:.2f}")
    snapshots = outcome.snapshots
    if not snapshots:
        return
    first, last = snapshots[0], snapshots[-1]
    machine = (last.machine_cpu - first.machine_cpu) / max(last.at - first.at, 1)
    yield Row("cores used: whole machine", f"{machine:.2f}")
    workers = [one for snapshot in snapshots for one in snapshot.workers if one]
    for name, values in (
        ("concurrent clients, maximum", [one.active_clients for one in snapshots]),
        ("concurrent answers of the model, maximum", [one.model.in_progress for one in snapshots]),
        ("Redis keys, maximum", [one.redis_keys for one in snapshots]),
        ("Redis memory, MB, maximum", [one.redis_memory for one in snapshots]),
        ("Redis connections, maximum", [one.redis_clients for one in snapshots]),
        ("Redis latency, ms, maximum", [one.redis_latency_ms for one in snapshots]),
        ("memory of a worker, MB, maximum", [one.memory for one in workers]),
        ("open files of a worker, maximum", [one.files for one in workers]),
        ("sockets of a worker, maximum", [one.sockets for one in workers]),
        ("threads of a worker, maximum", [one.threads for one in workers]),
        ("tasks of a worker, maximum", [one.tasks for one in workers]),
    ):
        yield Row(name, f"{max(values, default=0):,.0f}")


def _workers_cores(outcome: Outcome) -> float:
    """Sum up the CPU time of workers that were running in both of two successive snapshots."""
    used = elapsed = 0.0
    for earlier, later in pairwise([outcome.before, *outcome.snapshots]):
        elapsed += later.at - max(earlier.at, 0)
        for old, new in zip(earlier.workers, later.workers, strict=True):
            if old and new and old.pid == new.pid:
                used += new.cpu - old.cpu
    return used / elapsed if elapsed else 0.0


def _percentiles(seconds: list[float]) -> str:
    cuts = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    return " / ".join(f"{value * 1_000:.0f}" for value in (cuts[9], cuts[18], max(seconds)))
