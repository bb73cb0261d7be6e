"""Benchmark of ingestion, storage and search as a library grows. See tests/bench/README.md."""

import argparse
import asyncio
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import asyncpg
import msgspec

from app.bootstrap.search import build_embedder, build_retriever, open_database, open_indexer
from app.config import Settings
from app.infra.database import Connection, DatabaseState
from app.infra.embedded import postgres
from app.infra.http.client import HTTPClient
from app.schemas import Sentence
from app.services.evaluation.scratch_database import with_database_name
from app.services.ingest.progress import Progress
from app.services.ingest.store.documents import replace_document, text_search_configurations
from app.services.ingest.store.libraries import save_library
from app.services.search.calibration_questions import off_topic_questions
from app.services.search.retriever import PostgresRetriever
from tests.bench import observe
from tests.bench.report import Measured, SearchTimes, as_table
from tests.bench.synthetic_text import SyntheticLibrary
from tests.servers import superuser_url

# Source of the synthetic text: real transcripts if there are any, or the sample library.
TRANSCRIPTS = Path(__file__).parents[3] / "shared" / "data" / "library"
SAMPLE_LIBRARY = Path(__file__).parents[2] / "app" / "sample_library"
# Questions about the library, off-topic questions, questions to warm up, and concurrent questions.
QUESTIONS, OFF_TOPIC, WARM_UP, CONCURRENCY = 300, 100, 80, 10
Question = tuple[str, str | None]

# $1: number of passages
SAMPLE_PASSAGES = """
SELECT x.sentences::text, d.title, c.slug
FROM passages p
JOIN passage_texts x ON x.passage_id = p.id
JOIN documents d ON d.id = p.document_id
JOIN creators c ON c.id = p.creator_id
ORDER BY md5(p.id::text) LIMIT $1
"""
EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
CREATORS = "SELECT slug FROM creators ORDER BY slug"


class StageTimer:
    """Times the stages of an ingestion; call it with each `Progress`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "", perf_counter()

    def begin(self, stage: str) -> None:
        """End the current stage and begin another one, or none if it is empty."""
        now = perf_counter()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0) + now - self._since
        self._stage, self._since = stage, now

    def __call__(self, progress: Progress) -> None:
        """Begin the stage of `progress`; after the last embedding the index is built."""
        ended = progress.stage == "embeddings" and progress.done == progress.total
        self.begin("HNSW" if ended else progress.stage)


async def measure(url: str, passages: int) -> Measured:
    """Fill the database with `passages` passages unless it has some, and search it."""
    settings = Settings(database_url=url, embedding_model="use", database_timeout=60)
    async with open_database(settings) as (pool, state), HTTPClient() as http:
        async with pool.acquire() as connection:
            seconds = await _fill(connection, passages, settings, state)
            questions = await _questions(connection)
        embedder = build_embedder(settings, http, questions=True)
        retriever = build_retriever(settings, pool, state, embedder)
        sequential = await _search(pool, retriever, questions, concurrency=1)
        concurrent = await _search(pool, retriever, questions, concurrency=CONCURRENCY)
        async with pool.acquire() as connection:
            processes = await observe.backend_pids(connection)
            return Measured(
                counts=await observe.counts(connection),
                seconds=seconds,
                sizes=await observe.sizes(connection),
                server=await observe.server(connection),
                connection_bytes=max(map(observe.anonymous_memory, processes)),
                service_bytes=observe.anonymous_memory(),
                sequential=sequential,
                concurrent=concurrent,
            )


async def _fill(
    connection: Connection, passages: int, settings: Settings, state: DatabaseState
) -> dict[str, float]:
    """Store and index synthetic documents; return the seconds of each stage."""
    if await connection.fetchval("SELECT EXISTS (SELECT FROM passages)"):
        return {}
    stages = StageTimer()
    library = await save_library(connection, "growth", "growth")
    available = await text_search_configurations(connection)
    changed: set[str] = set()
    source = TRANSCRIPTS if TRANSCRIPTS.is_dir() else SAMPLE_LIBRARY
    for document, name in SyntheticLibrary(source).documents(passages):
        stages.begin("write")
        changed |= await replace_document(
            connection, library, document, name, available, pgvector=True
        )
        stages.begin("")
    async with open_indexer(settings, state) as how:
        await how.update(connection, changed, stages)
    stages.begin("")
    return stages.seconds


async def _questions(connection: Connection) -> list[Question]:
    """Return questions from titles and sentences, and some off-topic ones, in random order.

    Half of them name a creator: half of those the passage's own, so that large creators are
    frequent, and the others a random one.
    """
    rng = random.Random(5)  # noqa: S311 -- reproducible, not a secret
    creators = [row["slug"] for row in await connection.fetch(CREATORS)]
    questions: list[tuple[str, str]] = []
    for row in await connection.fetch(SAMPLE_PASSAGES, QUESTIONS):
        sentences = msgspec.json.decode(row["sentences"], type=tuple[Sentence, ...])
        words = rng.choice(sentences).text.split()
        start = rng.randrange(max(1, len(words) - 3))
        excerpt = " ".join(words[start : start + rng.randint(3, 12)])
        questions.append((row["title"] if rng.random() < 0.3 else excerpt, row["slug"]))
    off_topic = rng.sample(off_topic_questions(["en"]), OFF_TOPIC)
    questions += [(one.question, rng.choice(creators)) for one in off_topic]
    rng.shuffle(questions)
    return [
        (text, (None, None, rng.choice(creators), creator)[number % 4])
        for number, (text, creator) in enumerate(questions)
    ]


async def _search(
    pool: "asyncpg.Pool[asyncpg.Record]",
    retriever: PostgresRetriever,
    questions: list[Question],
    *,
    concurrency: int,
) -> SearchTimes:
    """Time all questions, after some that warm up connections and caches."""
    times: dict[bool, list[float]] = {False: [], True: []}

    async def ask(waiting: list[Question], record: bool) -> None:
        while waiting:
            question, creator = waiting.pop()
            started = perf_counter()
            await retriever.search(question, creator)
            if record:
                times[creator is not None].append((perf_counter() - started) * 1_000)

    async def ask_all(waiting: list[Question], record: bool) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(ask(waiting, record))

    await ask_all(questions[:WARM_UP], record=False)
    async with pool.acquire() as connection:
        processes = await observe.backend_pids(connection)
    postgres_cpu, service_cpu = observe.cpu_seconds(processes), observe.cpu_seconds(["self"])
    started = perf_counter()
    await ask_all(list(questions), record=True)
    seconds = perf_counter() - started
    return SearchTimes(
        all=observe.percentiles([*times[False], *times[True]]),
        without_creator=observe.percentiles(times[False]),
        with_creator=observe.percentiles(times[True]),
        postgres_cpu=(observe.cpu_seconds(processes) - postgres_cpu) * 1_000 / len(questions),
        service_cpu=(observe.cpu_seconds(["self"]) - service_cpu) * 1_000 / len(questions),
        per_second=len(questions) / seconds,
    )


async def _measure_all(
    sizes: list[int], folder: Path, shared_buffers: str | None
) -> dict[int, Measured]:
    measured: dict[int, Measured] = {}
    if shared_buffers:
        async with postgres(folder) as url:  # The setting takes effect at the next start.
            connection = await asyncpg.connect(superuser_url(url))
            await connection.execute(f"ALTER SYSTEM SET shared_buffers = '{shared_buffers}'")
            await connection.close()
    async with postgres(folder) as url:
        for size in sizes:
            name = f"growth_{size}"
            connection = await asyncpg.connect(url)
            if not await connection.fetchval(EXISTS, name):
                await connection.execute(f"CREATE DATABASE {name}")
            await connection.close()
            measured[size] = await measure(with_database_name(url, name), size)
            print(f"{size:,} passages measured", file=sys.stderr)
    return measured


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument(
        "sizes",
        nargs="*",
        type=int,
        default=[5_000, 50_000, 200_000],
        metavar="PASSAGES",
        help="sizes of the libraries (default: 5000 50000 200000)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values to FILE")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the databases in FOLDER and reuse them"
    )
    parser.add_argument(
        "--shared-buffers", metavar="SIZE", help="PostgreSQL's shared_buffers, such as 1GB"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-"))
        )
        measured = asyncio.run(_measure_all(options.sizes, folder, options.shared_buffers))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(measured)))
    print(as_table(measured))


if __name__ == "__main__":
    main()
