"""Questions and a library in PostgreSQL: which tier answers, by what, and what is shown of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncpg
import msgspec
import pytest

from app.schemas import Retrieval, Tier, Verdict
from app.services.search.embedding.local import WordLlamaEmbedder
from app.services.search.retriever import PostgresRetriever
from tests.servers import SharedServers
from tests.services.search.searching import (
    ATTACK,
    PAGES,
    ToldEmbedder,
    constant,
    fill,
    keep_gate,
    searching,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def bounded(anyio_backend: object) -> AsyncIterator[None]:
    with anyio.fail_after(30):
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
    """A library that is embedded, and too small to calibrate; no test writes to it."""
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    try:
        await fill(connection, tmp_path_factory.mktemp("library"), PAGES, light)
    finally:
        await connection.close()
    return url


@pytest.fixture
async def lexical(library_url: str) -> AsyncIterator[PostgresRetriever]:
    async with searching(library_url) as retriever:
        yield retriever


@pytest.fixture
async def hybrid(library_url: str, light: WordLlamaEmbedder) -> AsyncIterator[PostgresRetriever]:
    async with searching(library_url, light) as retriever:
        yield retriever


def verdicts(found: Retrieval) -> dict[Tier, Verdict]:
    return {one.tier: one.verdict for one in found.tiers}


def creators(found: Retrieval) -> list[str]:
    return [source.citation.creator.slug for source in found.sources]


def titles(found: Retrieval) -> list[str]:
    return [source.citation.title for source in found.sources]


async def test_the_creators_own_material_comes_first(lexical: PostgresRetriever) -> None:
    found = await lexical.search(ATTACK, "mara")
    assert found.tier == "creator"
    assert verdicts(found) == {
        "creator": "answers",
        "domain": "not needed",
        "global": "not needed",
    }
    assert set(creators(found)) == {"mara"}
    assert found.creator
    assert (found.creator.slug, found.creator.name) == ("mara", "Mara")


async def test_what_the_creator_lacks_is_taken_from_the_topics_they_share(
    lexical: PostgresRetriever,
) -> None:
    found = await lexical.search("With which ratio do I squash a copy of the drums?", "mara")
    assert found.tier == "domain"
    assert verdicts(found)["creator"] in ("too little", "others say more")
    assert titles(found) == ["Parallel compression"]


async def test_what_no_shared_topic_has_is_taken_from_the_whole_library(
    lexical: PostgresRetriever,
) -> None:
    found = await lexical.search("What ceiling does a limiter need for the loudest peaks?", "mara")
    assert found.tier == "global"
    assert set(creators(found)) == {"tom"}


async def test_a_creator_with_little_on_the_question_yields(lexical: PostgresRetriever) -> None:
    # Mara uses the word once, in passing.
    found = await lexical.search("How do I set the decay of a plate reverb on vocals?", "mara")
    own = await lexical.rank("How do I set the decay of a plate reverb on vocals?", "mara", most=5)
    assert own.hits("creator")
    assert found.tier == "global"
    assert titles(found)[0] == "Plate reverb"
    assert verdicts(found)["creator"] in ("too little", "others say more")


async def test_none_answers_what_nobody_speaks_of(lexical: PostgresRetriever) -> None:
    for creator in (None, "mara"):
        found = await lexical.search("Who discovered the moons of Saturn?", creator)
        assert (found.tier, found.sources) == ("none", ())
        assert set(verdicts(found).values()) == {"too little"}
        assert [one.hits for one in found.tiers] == [0] * len(found.tiers)


async def test_a_creator_nobody_knows_starts_one_tier_lower(lexical: PostgresRetriever) -> None:
    found = await lexical.search(ATTACK, "Nobody")
    assert found.creator is None
    assert list(verdicts(found)) == ["domain", "global"]
    assert (found.tier, titles(found)[0]) == ("global", "Side-chain the bass")


async def test_without_a_creator_there_is_only_the_library(lexical: PostgresRetriever) -> None:
    assert list(verdicts(await lexical.search(ATTACK, None))) == ["global"]


@pytest.mark.parametrize("question", ["the of and", "?!", "Tell me what you think, please"])
async def test_words_of_grammar_alone_find_nothing(
    hybrid: PostgresRetriever, question: str
) -> None:
    ranking = await hybrid.rank(question, "mara", most=5)
    assert (ranking.tier, ranking.matching) == ("none", "lexical")
    assert ranking.hits("global") == ()


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("低音的起音时间是多少？", "低音"),
        ("ボーカルの残響時間は？", "ボーカル"),
        ("คอมเพรสเซอร์เสียงเบส", "เสียงเบส"),
    ],
)
async def test_words_of_scripts_without_spaces_are_found(
    lexical: PostgresRetriever, question: str, title: str
) -> None:
    found = await lexical.search(question, None)
    assert found.tier == "global"
    assert titles(found) == [title]


async def test_no_document_has_more_than_its_share(library_url: str) -> None:
    for most in (1, 3):
        async with searching(library_url, per_document=most) as retriever:
            question = "What ceiling does a limiter need for the loudest peaks?"
            ranking = await retriever.rank(question, None, most=12)
            of_limiters = [hit for hit in ranking.hits("global") if hit.row["title"] == "Limiters"]
            assert len(of_limiters) == most


async def test_scores_are_between_0_and_1_and_descend(hybrid: PostgresRetriever) -> None:
    found = await hybrid.search(ATTACK, None)
    scores = [source.citation.score for source in found.sources]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    assert all(0 <= one.confidence <= 1 for one in found.tiers)


async def test_what_shares_no_word_with_the_question_is_found_by_its_meaning(
    hybrid: PostgresRetriever, lexical: PostgresRetriever
) -> None:
    question = "A doctor rushing toward an ill kid"
    assert (await lexical.rank(question, None, most=3)).hits("global") == ()
    ranking = await hybrid.rank(question, None, most=3)
    best = ranking.hits("global")[0]
    assert (ranking.matching, best.row["title"]) == ("hybrid", "A visitor")
    assert best.figures.lexical == 0


def by_language(text: str) -> list[float]:
    """Put what is about a kick, in two languages, in one place, and all else in another."""
    return [1.0, 0.1] if {"kick", "Basstrommel"} & set(text.split()) else [0.0, 1.0]


async def test_a_question_in_another_language_is_found_by_its_meaning(
    database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    embedder = ToldEmbedder(vector_of=by_language)
    await fill(database, tmp_path, PAGES, embedder)
    await keep_gate(database, msgspec.json.encode(constant(13, 1.0)).decode(), "told")
    async with searching(database_url, embedder) as retriever:
        found = await retriever.search("Wie bleibt meine Basstrommel vorn?", None)
    assert (found.tier, found.matching) == ("global", "hybrid")
    assert titles(found)[0] == "Side-chain the bass"


async def test_with_and_without_pgvector_scores_are_nearly_the_same(
    library_url: str, lexical: PostgresRetriever
) -> None:
    questions = [ATTACK, "How do I set the decay of a plate reverb?", "低音的起音时间是多少？"]
    async with searching(library_url) as counted:
        counted._pgvector = False
        for question in questions:
            with_it = (await lexical.rank(question, None, most=12)).hits("global")
            without = (await counted.rank(question, None, most=12)).hits("global")
            assert [hit.passage_id for hit in with_it] == [hit.passage_id for hit in without]
            assert [hit.score for hit in with_it] == pytest.approx(
                [hit.score for hit in without], rel=0.05
            )
