"""A library teaches its own gates: they refuse what it has nothing on, and let its own pass."""

from collections.abc import AsyncIterator
from itertools import product

import anyio
import asyncpg
import msgspec
import pytest

from app.services.ingest.report import Progress
from app.services.ingest.store.embed import embed_missing, indexes
from app.services.ingest.store.index import refresh
from app.services.ingest.store.indexing import Indexing
from app.services.search.answerability import AnswerabilityClassifier
from app.services.search.calibration import MIN_PASSAGES, Calibration, calibrate
from app.services.search.embedding.local import WordLlamaEmbedder
from app.services.search.text import keys
from tests.scripted_embedder import word_counts
from tests.servers import SharedServers
from tests.services.search.searching import (
    ToldEmbedder,
    fill,
    keep_gate,
    many_passages,
    page,
    searching,
)

pytestmark = pytest.mark.anyio

EFFECTS = {
    "compressor": "A compressor with a ratio of {a}:1 evens the level out by {b} dB at most.",
    "gate": "Let the gate close {a} ms after the note, or the tail of it is cut by {b} dB.",
    "plate reverb": "A plate reverb of {a} seconds with a predelay of {b} ms stays behind it.",
    "tape delay": "Time the tape delay to a dotted eighth and keep its feedback below {b} percent.",
    "equalizer": "Cut {a} dB at 300 Hz with the equalizer where it booms and boost the air.",
    "chorus": "A slow chorus with a depth of {b} percent makes it wider without a second take.",
    "saturation": "Drive the saturation by {a} dB until harmonics appear, then mix {b} percent in.",
    "limiter": "The limiter at the end takes {a} dB off the peaks and needs a release of {b} ms.",
    "panning": "With panning {b} percent to the left it leaves the centre to the lead.",
    "tremolo": "Set the tremolo to sixteenths at a depth of {b} percent for a nervous pulse.",
    "flanger": "Sweep the flanger over {a} bars before the drop and let it fade with the filter.",
    "transient shaper": "The transient shaper adds {a} dB of attack when the take sounds dull.",
}
SOURCES = "kick drum,snare drum,bass guitar,piano,string section,synth pad,lead vocals".split(",")
SOURCES += "acoustic guitar,brass,choir,hi-hat,church organ,double bass".split(",")
FOREIGN = """
Who painted the ceiling of the Sistine chapel?
How do I change the tyre of my bicycle?
What is the capital of Mongolia?
When did the last mammoth die?
How many players are in a volleyball team?
Why is the sea salty?
Which visa do I need for a year in Japan?
How do I get red wine out of a white shirt?
What does a notary charge for a will?
Who wrote the novel about the white whale?
How high is the tallest tree in California?
Can I grow lemons on a balcony in Norway?
How long does a passport take to renew?
What did the Romans eat for breakfast?
How do vaccines against the flu work?
Where do swallows spend the winter?
How is glass made from sand?
Which planet has the most moons?
What is the difference between a crocodile and an alligator?
How much does it cost to insure a motorbike?
""".strip().splitlines()


def sections() -> list[tuple[str, str]]:
    """Return headings and what stands below them: an effect on each source."""
    return [
        (
            f"The {effect} on the {source}",
            f"On the {source} the {effect} comes first, because all that follows depends on it. "
            + advice.format(a=2 + number % 9, b=10 + number % 47)
            + f" Listen to the {source} in the whole mix and not alone before you go on.",
        )
        for number, ((effect, advice), source) in enumerate(product(EFFECTS.items(), SOURCES))
    ]


@pytest.fixture(autouse=True)
async def bounded(anyio_backend: object) -> AsyncIterator[None]:
    with anyio.fail_after(60):
        yield


@pytest.fixture(scope="module")
def light() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


@pytest.fixture(scope="module")
async def library_url(
    anyio_backend: object,
    shared: SharedServers,
    light: WordLlamaEmbedder,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A library of 156 passages that ingestion has calibrated; no test writes to it."""
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    every = sections()
    pages = {
        f"ann/{source}.md": page(
            f"Notes on {source}",
            "\n\n".join(f"## {head}\n\n{text}" for head, text in every if head.endswith(source)),
        )
        for source in SOURCES
    }
    try:
        report = await fill(connection, tmp_path_factory.mktemp("library"), pages, light)
    finally:
        await connection.close()
    assert report.passages == len(every)
    return url


def silent(progress: Progress) -> None:
    pass


async def gates(connection: asyncpg.Connection) -> dict[int | None, int]:
    """Return the newest gate of each index, by the index's embedder."""
    rows = await connection.fetch("SELECT embedder_id, max(id) AS id FROM gates GROUP BY 1")
    return {row["embedder_id"]: row["id"] for row in rows}


async def test_a_gate_is_kept_for_each_way_to_search(library_url: str) -> None:
    connection = await asyncpg.connect(library_url)
    ((index, _),) = (await indexes(connection)).values()
    rows = await connection.fetch(
        "SELECT embedder_id, passages, model::text FROM gates ORDER BY id"
    )
    await connection.close()
    assert [(row["embedder_id"], row["passages"]) for row in rows] == [(None, 156), (index.id, 156)]
    lexical, hybrid = (
        msgspec.json.decode(row["model"], type=AnswerabilityClassifier) for row in rows
    )
    assert (len(lexical.weights), lexical.centroid) == (8, ())
    assert (len(hybrid.weights), len(hybrid.centroid)) == (13, index.dimension)


@pytest.mark.parametrize("way", ["hybrid", "lexical"])
async def test_a_calibrated_library_refuses_what_it_has_nothing_on_and_answers_its_own(
    library_url: str, light: WordLlamaEmbedder, way: str
) -> None:
    embedder = light if way == "hybrid" else None
    headings = [heading for heading, _ in sections()][::5]
    async with searching(library_url, embedder) as retriever:
        foreign = [await retriever.search(question, None) for question in FOREIGN]
        own = [await retriever.search(f"How do I set {head}?", None) for head in headings]
    assert {found.matching for found in foreign + own} == {way}
    assert sum(found.tier == "none" for found in foreign) >= 0.9 * len(foreign)
    assert sum(found.tier == "global" for found in own) >= 0.95 * len(own)
    # And with what stands below that heading.
    right = [
        head.removeprefix("The ").split(" on the ")[0] in found.sources[0].citation.snippet
        for head, found in zip(headings, own, strict=True)
        if found.sources
    ]
    assert sum(right) >= 0.9 * len(headings)


async def test_a_library_that_is_too_small_keeps_the_rules_for_all(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, MIN_PASSAGES - 1)
    await keep_gate(database, "{}")
    assert await Indexing(pgvector=True).calibrate(database, silent) is None
    assert await gates(database) == {}


async def test_a_library_of_short_sentences_keeps_the_rules_for_all(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, MIN_PASSAGES)
    await refresh(database, ["english"], pgvector=True)
    await keep_gate(database, "{}")
    await Indexing(pgvector=True).calibrate(database, silent)
    assert await gates(database) == {}


async def test_a_library_that_shares_no_word_with_foreign_questions_can_be_searched(
    database: asyncpg.Connection, database_url: str
) -> None:
    greek = "το κουμπί{n} γυρίζει τον ήχο πιο δυνατά και βαθιά μέσα στο δωμάτιο{n} του στούντιο"
    await many_passages(database, 120, greek, ("el", "greek"))
    await Indexing(pgvector=True).update(database, ["greek"], silent)
    async with searching(database_url) as retriever:
        assert (await retriever.search("πώς γυρίζει το κουμπί7;", None)).tier == "global"
        assert (await retriever.search("How do I boil an egg?", None)).tier == "none"


@pytest.mark.parametrize(("learned_from", "anew"), [(101, False), (99, True), (151, True)])
async def test_an_ingestion_learns_anew_when_a_fifth_has_changed(
    database: asyncpg.Connection, learned_from: int, anew: bool
) -> None:
    await many_passages(database, 120)
    old = await keep_gate(database, "{}")
    await database.execute("UPDATE gates SET passages = $1", learned_from)
    stages: list[str] = []
    await Indexing(pgvector=True).update(
        database, ["english"], lambda progress: stages.append(progress.stage)
    )
    assert ("gate" in stages) == anew
    assert (old in (await gates(database)).values()) == (not anew)


async def test_another_embedders_gate_stays_while_its_embeddings_serve(
    database: asyncpg.Connection,
) -> None:
    text = "The {n}th knob of the mixing desk turns the level of its channel up and down again"
    await many_passages(database, 120, text)
    await refresh(database, ["english"], pgvector=True)
    first, second = ToldEmbedder("first"), ToldEmbedder("second")
    for embedder in (first, second):
        await embed_missing(database, embedder, silent)
    old = await keep_gate(database, "{}", "first")
    words = await keep_gate(database, "{}")

    done = await calibrate(database, second, pgvector=True, alpha=0.5, per_document=3)

    assert done == Calibration(passages=120, own=300, foreign=480)
    known = await indexes(database)
    kept = await gates(database)
    assert kept[known["first"][0].id] == old
    assert kept[known["second"][0].id] > words
    assert words not in kept.values()
    # Asked in batches: a server would answer none of hundreds of single questions at once.
    assert len(second.asked) < 30


async def test_a_question_that_only_its_meaning_finds_passes_the_gate(
    database: asyncpg.Connection, database_url: str
) -> None:
    # An embedder that puts a German question where the English one is.
    english = {f"Womit ist Regler{n} verbunden?": f"knob{n} channel{n} level" for n in range(5, 15)}
    embedder = ToldEmbedder(
        vector_of=lambda text: word_counts(" ".join(keys(english.get(text, text), "simple")), 256)
    )
    text = "The knob{n} turns the level of the channel{n} down again before each take begins"
    await many_passages(database, 120, text)
    await Indexing(pgvector=True, embedder=embedder, alpha=0.4).update(
        database, ["english"], silent
    )
    async with searching(database_url, embedder) as retriever:
        for german, same in english.items():
            assert (await retriever.search(same, None)).tier == "global"
            ranking = await retriever.rank(german, None, most=5)
            assert f"{same.split()[0]} " in ranking.hits("global")[0].row["sentences"]
            assert ranking.tier == "global"
