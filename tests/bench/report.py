"""Format the measurements of several library sizes as a table."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct


class Searches(Struct, frozen=True):
    """Milliseconds per question: all, without and with a creator; CPU of database and service."""

    every: dict[str, float]
    unnamed: dict[str, float]
    named: dict[str, float]
    backend_cpu: float
    own_cpu: float
    a_second: float


class Measured(Struct, frozen=True):
    """One library: its counts, seconds of ingestion by stage, bytes, and its searches.

    `one` is one question at a time, `ten` ten at once. `backend_bytes` is the private memory of
    the largest connection.
    """

    counts: dict[str, int]
    seconds: dict[str, float]
    sizes: dict[str, int]
    server: dict[str, str]
    backend_bytes: int
    process_bytes: int
    one: Searches
    ten: Searches


def as_table(measured: Mapping[int, Measured]) -> str:
    """Format a table in Markdown, with a column per library."""
    columns = [dict(_rows(one)) for one in measured.values()]
    # A library without a stage or an index has no value in its row.
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
        yield f"{stage}, s", f"{seconds:.1f}"
    if one.seconds:
        yield "ingested, passages/s", f"{passages / sum(one.seconds.values()):,.0f}"
    yield "database, MB", _megabytes(one.counts["bytes"])
    yield "bytes a passage", f"{one.counts['bytes'] / passages:,.0f}"
    for name, size in one.sizes.items():
        yield f"{name}, MB", _megabytes(size)
    yield from one.server.items()
    yield "memory of a connection, MB", _megabytes(one.backend_bytes)
    yield "memory of the service, MB", _megabytes(one.process_bytes)
    for crowd, searches in (("one at a time", one.one), ("ten at once", one.ten)):
        for who, times in (
            ("all", searches.every),
            ("no creator", searches.unnamed),
            ("a creator", searches.named),
        ):
            shown = " / ".join(f"{times[key]:.1f}" for key in ("p50", "p95", "p99"))
            yield f"{crowd}, {who}: ms p50 / p95 / p99", shown
        yield f"{crowd}: CPU ms of PostgreSQL", f"{searches.backend_cpu:.1f}"
        yield f"{crowd}: CPU ms of the service", f"{searches.own_cpu:.1f}"
        yield f"{crowd}: questions/s", f"{searches.a_second:.0f}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
