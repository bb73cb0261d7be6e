"""Results of the growth benchmark and their Markdown table."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct


class SearchTimes(Struct, frozen=True):
    """Search times per question: percentiles and mean CPU times in ms, and questions a second.

    `without_creator` and `with_creator` are the questions that do not or do name a creator.
    """

    all: dict[str, float]
    without_creator: dict[str, float]
    with_creator: dict[str, float]
    postgres_cpu: float
    service_cpu: float
    per_second: float


class Measured(Struct, frozen=True):
    """One library: row counts, seconds of ingestion by stage, sizes in bytes, and search times.

    `connection_bytes` is the memory of the largest database connection. `sequential` is one
    question at a time, `concurrent` ten.
    """

    counts: dict[str, int]
    seconds: dict[str, float]
    sizes: dict[str, int]
    server: dict[str, str]
    connection_bytes: int
    service_bytes: int
    sequential: SearchTimes
    concurrent: SearchTimes


def as_table(measured: Mapping[int, Measured]) -> str:
    """Write a table with a column per library."""
    columns = [dict(_rows(one)) for one in measured.values()]
    # Libraries may lack a stage or an index, so their rows differ.
    names = list(dict.fromkeys(name for column in columns for name in column))
    heads = ["", *(f"{size:,} passages" for size in measured)]
    lines = [heads, ["---", *("---:" for _ in columns)]]
    lines += [[name, *(column.get(name, "–") for column in columns)] for name in names]
    return "\n".join(_line(cells) for cells in lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(one: Measured) -> Iterator[tuple[str, str]]:
    for name, count in one.counts.items():
        if name != "bytes":
            yield name.replace("_", " "), f"{count:,}"
    passages = one.counts["passages"]
    for stage, seconds in one.seconds.items():
        yield f"ingestion, {stage}, s", f"{seconds:.1f}"
    if one.seconds:
        yield "ingestion, passages/s", f"{passages / sum(one.seconds.values()):,.0f}"
    yield "database, MB", _megabytes(one.counts["bytes"])
    yield "bytes per passage", f"{one.counts['bytes'] / passages:,.0f}"
    for name, size in one.sizes.items():
        yield f"{name}, MB", _megabytes(size)
    yield from one.server.items()
    yield "memory per connection, MB", _megabytes(one.connection_bytes)
    yield "memory of the service, MB", _megabytes(one.service_bytes)
    for mode, searches in (("sequential", one.sequential), ("10 concurrent", one.concurrent)):
        for kind, times in (
            ("all questions", searches.all),
            ("without a creator", searches.without_creator),
            ("with a creator", searches.with_creator),
        ):
            shown = " / ".join(f"{times[key]:.1f}" for key in ("p50", "p95", "p99"))
            yield f"{mode}, {kind}: p50 / p95 / p99, ms", shown
        yield f"{mode}: CPU of PostgreSQL per question, ms", f"{searches.postgres_cpu:.1f}"
        yield f"{mode}: CPU of the service per question, ms", f"{searches.service_cpu:.1f}"
        yield f"{mode}: questions/s", f"{searches.per_second:.0f}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
