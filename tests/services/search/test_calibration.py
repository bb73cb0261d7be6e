"""Calibration: classifiers fitted to a library refuse off-topic questions and answer its own."""

import asyncpg
import msgspec
import pytest

from app.services.ingest.progress import Progress
from app.services.ingest.store.embeddings import embed_missing, embedding_indexes
from app.services.ingest.store.indexer import Indexer
from app.services.ingest.store.term_statistics import refresh_statistics
from app.services.search.answerability import (
    AnswerabilityClassifier,
    CalibratedRegression,
)
from app.services.search.calibration import MIN_PASSAGES, calibrate
from app.services.search.embedding.use import UseEmbedder
from app.services.search.text import stems
from app.services.search.weights import WEIGHTS
from tests.scripted_embedder import word_counts
from tests.services.search.search_library import (
    SECTIONS,
    ScriptedEmbedder,
    many_passages,
    open_retriever,
    save_classifier,
)

pytestmark = pytest.mark.anyio

OFF_TOPIC = """
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


def silent(progress: Progress) -> None:
    pass


async def classifiers(connection: asyncpg.Connection) -> dict[int | None, int]:
    """Return the id of the newest classifier for each embedder."""
    rows = await connection.fetch("SELECT embedder_id, max(id) AS id FROM gates GROUP BY 1")
    return {row["embedder_id"]: row["id"] for row in rows}


def classifier_of(weights: tuple[float, ...]) -> str:
    """Return a classifier with these weights as JSON."""
    regression = CalibratedRegression(weights, (0.0,) * len(weights), (1.0,) * len(weights))
    return msgspec.json.encode(AnswerabilityClassifier(regression, floor=0.0)).decode()


async def test_ingestion_stores_a_classifier_for_lexical_and_for_hybrid_search(
    calibrated_library: str,
) -> None:
    connection = await asyncpg.connect(calibrated_library)
    ((index, _),) = (await embedding_indexes(connection)).values()
    rows = await connection.fetch(
        "SELECT embedder_id, passages, model::text FROM gates ORDER BY id"
    )
    await connection.close()
    passages = len(SECTIONS)
    assert [(row["embedder_id"], row["passages"]) for row in rows] == [
        (None, passages),
        (index.id, passages),
    ]
    lexical, hybrid = (
        msgspec.json.decode(row["model"], type=AnswerabilityClassifier) for row in rows
    )
    assert lexical.full.weights == WEIGHTS.lexical
    assert lexical.semantic is None
    assert hybrid.full.weights == WEIGHTS.hybrid
    assert hybrid.semantic is not None
    assert hybrid.semantic.weights == WEIGHTS.semantic


@pytest.mark.parametrize("matching", ["hybrid", "lexical"])
async def test_calibrated_library_refuses_off_topic_questions_and_answers_its_own(
    calibrated_library: str, use: UseEmbedder, matching: str
) -> None:
    embedder = use if matching == "hybrid" else None
    headings = [heading for heading, _ in SECTIONS][::5]
    async with open_retriever(calibrated_library, embedder) as retriever:
        off_topic = [await retriever.search(question, None) for question in OFF_TOPIC]
        own = [await retriever.search(f"How do I set {head}?", None) for head in headings]
    assert {found.matching for found in off_topic + own} == {matching}
    assert sum(found.tier == "none" for found in off_topic) >= 0.9 * len(off_topic)
    assert sum(found.tier == "global" for found in own) >= 0.95 * len(own)
    # The best source is the section below that heading.
    right = [
        head.removeprefix("The ").split(" on the ")[0] in found.sources[0].citation.snippet
        for head, found in zip(headings, own, strict=True)
        if found.sources
    ]
    assert sum(right) >= 0.9 * len(headings)


async def test_small_library_is_not_calibrated(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, MIN_PASSAGES - 1)
    await save_classifier(database, "{}")
    assert await Indexer(pgvector=True).calibrate(database, silent) is None
    assert await classifiers(database) == {}


async def test_library_sharing_no_word_with_off_topic_questions_can_be_searched(
    database: asyncpg.Connection, database_url: str
) -> None:
    greek = "το κουμπί{n} γυρίζει τον ήχο πιο δυνατά και βαθιά μέσα στο δωμάτιο{n} του στούντιο"
    await many_passages(database, 120, greek, ("el", "greek"))
    await Indexer(pgvector=True).update(database, ["greek"], silent)
    async with open_retriever(database_url) as retriever:
        assert (await retriever.search("πώς γυρίζει το κουμπί7;", None)).tier == "global"
        assert (await retriever.search("How do I boil an egg?", None)).tier == "none"


@pytest.mark.parametrize(("passages", "recalibrates"), [(101, False), (99, True), (151, True)])
async def test_ingestion_recalibrates_when_a_fifth_of_the_passages_has_changed(
    database: asyncpg.Connection, passages: int, recalibrates: bool
) -> None:
    await many_passages(database, 120)
    old = await save_classifier(database, classifier_of(WEIGHTS.lexical))
    await database.execute("UPDATE gates SET passages = $1", passages)
    stages: list[str] = []
    await Indexer(pgvector=True).update(
        database, ["english"], lambda progress: stages.append(progress.stage)
    )
    assert ("calibration" in stages) == recalibrates
    assert (old in (await classifiers(database)).values()) == (not recalibrates)


@pytest.mark.parametrize("model", ["{}", "other weights"])
async def test_ingestion_recalibrates_after_an_upgrade_with_other_weights(
    database: asyncpg.Connection, model: str
) -> None:
    await many_passages(database, 120)
    if model == "other weights":
        model = classifier_of(tuple(weight + 1 for weight in WEIGHTS.lexical))
    await save_classifier(database, model)
    await database.execute("UPDATE gates SET passages = 120")
    stages: list[str] = []
    await Indexer(pgvector=True).update(
        database, ["english"], lambda progress: stages.append(progress.stage)
    )
    assert "calibration" in stages


async def test_calibration_keeps_the_classifier_of_another_embedder(
    database: asyncpg.Connection,
) -> None:
    text = "The {n}th knob of the mixing desk turns the level of its channel up and down again"
    await many_passages(database, 120, text)
    await refresh_statistics(database, ["english"], pgvector=True)
    first, second = ScriptedEmbedder("first"), ScriptedEmbedder("second")
    for embedder in (first, second):
        await embed_missing(database, embedder, silent)
    old = await save_classifier(database, "{}", "first")
    lexical = await save_classifier(database, "{}")

    done = await calibrate(database, second, pgvector=True, alpha=0.5, per_document=3)

    assert done is not None
    assert done.passages == 120
    known = await embedding_indexes(database)
    kept = await classifiers(database)
    assert kept[known["first"][0].id] == old
    assert kept[known["second"][0].id] > lexical
    assert lexical not in kept.values()
    # Questions are embedded in batches.
    assert len(second.calls) < 30


async def test_question_found_only_by_its_embedding_is_answered(
    database: asyncpg.Connection, database_url: str
) -> None:
    # The embedder gives a German question the vector of its English translation.
    english = {f"Womit ist Regler{n} verbunden?": f"knob{n} channel{n} level" for n in range(5, 15)}
    embedder = ScriptedEmbedder(
        vector_of=lambda text: word_counts(" ".join(stems(english.get(text, text), "simple")), 256)
    )
    text = "The knob{n} turns the level of the channel{n} down again before each take begins"
    await many_passages(database, 120, text)
    await Indexer(pgvector=True, embedder=embedder, alpha=0.4).update(database, ["english"], silent)
    async with open_retriever(database_url, embedder) as retriever:
        for german, translation in english.items():
            assert (await retriever.search(translation, None)).tier == "global"
            ranking = await retriever.rank(german, None, per_tier=5)
            assert f"{translation.split()[0]} " in ranking.hits("global")[0].row["sentences"]
            assert ranking.tier == "global"
