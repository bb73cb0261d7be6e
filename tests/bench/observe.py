"""Sizes, memory and CPU time, as reported by PostgreSQL and the kernel."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.infra.database import Connection

SIZES = """
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND pg_total_relation_size(c.oid) > 1000000
UNION ALL
SELECT c.relname, pg_relation_size(c.oid)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'i'
  AND pg_relation_size(c.oid) > 1000000
ORDER BY 2 DESC
"""
COUNTS = """
SELECT (SELECT count(*) FROM creators) AS creators,
       (SELECT count(*) FROM documents) AS documents,
       (SELECT count(*) FROM passages) AS passages,
       (SELECT count(*) FROM terms) AS words,
       (SELECT max(n) FROM (SELECT count(*) AS n FROM passages GROUP BY creator_id) c)
           AS largest_creator,
       (SELECT max(n) FROM (SELECT count(*) AS n FROM passages GROUP BY topic_id) t)
           AS largest_topic,
       pg_database_size(current_database()) AS bytes
"""
BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
"""


async def sizes(connection: Connection) -> dict[str, int]:
    """Return the bytes of tables (indexes and TOAST included) and of indexes, if over 1 MB."""
    return {row["name"]: row["bytes"] for row in await connection.fetch(SIZES)}


async def counts(connection: Connection) -> dict[str, int]:
    """Return the row counts of the library and the size of the database in bytes."""
    (row,) = await connection.fetch(COUNTS)
    return dict(row)


async def backend_pids(connection: Connection) -> list[int]:
    """Return the process ids of the connections to this database."""
    return [row["pid"] for row in await connection.fetch(BACKENDS)]


def cpu_seconds(processes: Iterable[int | str]) -> float:
    """Return the CPU time that processes have used so far, in seconds."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def anonymous_memory(process: int | str = "self") -> int:
    """Return the anonymous memory of a process, in bytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise LookupError("RssAnon")


async def server(connection: Connection) -> dict[str, str]:
    """Return the server's version and the settings that affect search."""
    names = ("server_version", "shared_buffers", "work_mem", "max_parallel_workers_per_gather")
    return {name: await connection.fetchval(f"SHOW {name}") for name in names}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the maximum."""
    ordered = sorted(values)
    return {
        name: ordered[min(len(ordered) - 1, int(part * len(ordered)))]
        for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    }
