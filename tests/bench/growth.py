"""Sizes come in; what ingestion, storage and search cost in libraries of these sizes goes out.

`python -m tests.bench.growth 5000 50000 200000`; see the README beside.
"""

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

from app.bootstrap import build_embedder, build_retriever, open_database, open_indexer
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
from tests.bench.babble import Babble
from tests.bench.report import Measured, Searches, as_table

# Transcripts to make others of: real ones beside the project, or the library that comes with it.
DATA = Path(__file__).parents[3] / "shared" / "data" / "library"
SAMPLE = Path(__file__).parents[2] / "app" / "sample_library"
# Questions of the library's own, and on all else; how many go first, and how many go at once.
QUESTIONS, FOREIGN, WARM_UP, AT_ONCE = 300, 100, 80, 10
Question = tuple[str, str | None]

# $1 how many
SOME = """
SELECT x.sentences::text, d.title, c.slug
FROM passages p
JOIN passage_texts x ON x.passage_id = p.id
JOIN documents d ON d.id = p.document_id
JOIN creators c ON c.id = p.creator_id
ORDER BY md5(p.id::text) LIMIT $1
"""
EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
CREATORS = "SELECT slug FROM creators ORDER BY slug"


class Stages:
    """Keeps how many seconds each stage has taken."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "", perf_counter()

    def begin(self, stage: str) -> None:
        """End the stage that runs, and begin this one; `` is none."""
        now = perf_counter()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0) + now - self._since
        self._stage, self._since = stage, now

    def __call__(self, progress: Progress) -> None:
        """Follow an ingestion: what comes after the last embedding is the building of the index."""
        ended = progress.stage == "embeddings" and progress.done == progress.total
        self.begin("HNSW" if ended else progress.stage)


async def measure(url: str, passages: int) -> Measured:
    """Fill the database with so many passages, unless it has some, and search it."""
    settings = Settings(database_url=url, embedding_model="wordllama", database_timeout=60)
    async with open_database(settings) as (pool, state), HTTPClient() as http:
        async with pool.acquire() as connection:
            seconds = await _fill(connection, passages, settings, state)
            questions = await _questions(connection)
        embedder = build_embedder(settings, http, questions=True)
        retriever = build_retriever(settings, pool, state, embedder)
        one = await _search(pool, retriever, questions, at_once=1)
        ten = await _search(pool, retriever, questions, at_once=AT_ONCE)
        async with pool.acquire() as connection:
            processes = await observe.backends(connection)
            return Measured(
                counts=await observe.counts(connection),
                seconds=seconds,
                sizes=await observe.sizes(connection),
                server=await observe.server(connection),
                backend_bytes=max(map(observe.own_memory, processes)),
                process_bytes=observe.own_memory(),
                one=one,
                ten=ten,
            )


async def _fill(
    connection: Connection, passages: int, settings: Settings, state: DatabaseState
) -> dict[str, float]:
    """Ingest as the product does, once passages are cut; returns the seconds of each stage."""
    if await connection.fetchval("SELECT EXISTS (SELECT FROM passages)"):
        return {}
    stages = Stages()
    library = await save_library(connection, "growth", "growth")
    available = await text_search_configurations(connection)
    changed: set[str] = set()
    for document, name in Babble(DATA if DATA.is_dir() else SAMPLE).documents(passages):
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
    """Make questions of titles and of sentences, and take some on all else.

    Half of them name a creator: half of those whoever has the passage, so that many name a large
    one, the others any.
    """
    chance = random.Random(5)  # noqa: S311 -- the same each time, and no secret
    creators = [row["slug"] for row in await connection.fetch(CREATORS)]
    asked: list[tuple[str, str]] = []
    for row in await connection.fetch(SOME, QUESTIONS):
        sentences = msgspec.json.decode(row["sentences"], type=tuple[Sentence, ...])
        words = chance.choice(sentences).text.split()
        begin = chance.randrange(max(1, len(words) - 3))
        shortened = " ".join(words[begin : begin + chance.randint(3, 12)])
        asked.append((row["title"] if chance.random() < 0.3 else shortened, row["slug"]))
    foreign = chance.sample(off_topic_questions(["en"]), FOREIGN)
    asked += [(one.question, chance.choice(creators)) for one in foreign]
    chance.shuffle(asked)
    return [
        (text, (None, None, chance.choice(creators), creator)[number % 4])
        for number, (text, creator) in enumerate(asked)
    ]


async def _search(
    pool: "asyncpg.Pool[asyncpg.Record]",
    retriever: PostgresRetriever,
    questions: list[Question],
    *,
    at_once: int,
) -> Searches:
    """Ask all questions, so many at a time, after some that warm connections and memory up."""
    taken: dict[bool, list[float]] = {False: [], True: []}

    async def ask(waiting: list[Question], record: bool) -> None:
        while waiting:
            question, creator = waiting.pop()
            began = perf_counter()
            await retriever.search(question, creator)
            if record:
                taken[creator is not None].append((perf_counter() - began) * 1_000)

    async def ask_all(waiting: list[Question], record: bool) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(ask(waiting, record))

    await ask_all(questions[:WARM_UP], record=False)
    async with pool.acquire() as connection:
        processes = await observe.backends(connection)
    cpu, own, began = observe.cpu_seconds(processes), observe.cpu_seconds(["self"]), perf_counter()
    await ask_all(list(questions), record=True)
    seconds = perf_counter() - began
    return Searches(
        every=observe.quantiles([*taken[False], *taken[True]]),
        unnamed=observe.quantiles(taken[False]),
        named=observe.quantiles(taken[True]),
        backend_cpu=(observe.cpu_seconds(processes) - cpu) * 1_000 / len(questions),
        own_cpu=(observe.cpu_seconds(["self"]) - own) * 1_000 / len(questions),
        a_second=len(questions) / seconds,
    )


async def _measure_all(
    sizes: list[int], folder: Path, shared_buffers: str | None
) -> dict[int, Measured]:
    measured: dict[int, Measured] = {}
    if shared_buffers:
        async with postgres(folder) as url:  # It counts from the next start on.
            connection = await asyncpg.connect(url)
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
    """Measure and print a table, and JSON where a file for it is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[5_000, 50_000, 200_000])
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures here too")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the libraries here, to search them again"
    )
    parser.add_argument("--shared-buffers", metavar="1GB", help="PostgreSQL's own cache")
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
