"""The retriever: which tier answers a question, by words or embeddings, and with what sources."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from app.schemas import Retrieval, Tier, Verdict
from app.services.search.answerability import AnswerabilityClassifier, CalibratedRegression
from app.services.search.embedding.use import UseEmbedder
from app.services.search.retriever import PostgresRetriever
from tests.services.search.search_library import (
    ATTACK,
    PAGES,
    ScriptedEmbedder,
    constant,
    fill,
    open_retriever,
    save_classifier,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lexical(small_library: str) -> AsyncIterator[PostgresRetriever]:
    async with open_retriever(small_library) as retriever:
        yield retriever


@pytest.fixture
async def hybrid(small_library: str, use: UseEmbedder) -> AsyncIterator[PostgresRetriever]:
    async with open_retriever(small_library, use) as retriever:
        yield retriever


def verdicts(found: Retrieval) -> dict[Tier, Verdict]:
    return {one.tier: one.verdict for one in found.tiers}


def creators(found: Retrieval) -> list[str]:
    return [source.citation.creator.slug for source in found.sources]


def titles(found: Retrieval) -> list[str]:
    return [source.citation.title for source in found.sources]


async def test_creators_own_material_comes_first(lexical: PostgresRetriever) -> None:
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


async def test_shared_topics_answer_what_the_creator_does_not(
    lexical: PostgresRetriever,
) -> None:
    found = await lexical.search("With which ratio do I squash a copy of the drums?", "mara")
    assert found.tier == "domain"
    assert verdicts(found)["creator"] in ("too little", "others say more")
    assert titles(found) == ["Parallel compression"]


async def test_whole_library_answers_what_no_shared_topic_does(
    lexical: PostgresRetriever,
) -> None:
    found = await lexical.search("What ceiling does a limiter need for the loudest peaks?", "mara")
    assert found.tier == "global"
    assert set(creators(found)) == {"tom"}


async def test_creator_who_only_mentions_the_subject_gives_way_to_the_library(
    lexical: PostgresRetriever,
) -> None:
    # Mara mentions reverb once.
    question = "How do I set the decay of a plate reverb on vocals?"
    found = await lexical.search(question, "mara")
    own = await lexical.rank(
        "How do I set the decay of a plate reverb on vocals?", "mara", per_tier=5
    )
    assert own.hits("creator")
    assert found.tier == "global"
    assert titles(found)[0] == "Plate reverb"
    assert verdicts(found)["creator"] in ("too little", "others say more")


async def test_question_that_no_tier_answers_has_no_sources(lexical: PostgresRetriever) -> None:
    for creator in (None, "mara"):
        found = await lexical.search("Who discovered the moons of Saturn?", creator)
        assert (found.tier, found.sources) == ("none", ())
        assert set(verdicts(found).values()) == {"too little"}
        assert [one.hits for one in found.tiers] == [0] * len(found.tiers)


async def test_unknown_creator_starts_one_tier_lower(lexical: PostgresRetriever) -> None:
    found = await lexical.search(ATTACK, "Nobody")
    assert found.creator is None
    assert list(verdicts(found)) == ["domain", "global"]
    assert (found.tier, titles(found)[0]) == ("global", "Side-chain the bass")


async def test_without_a_creator_only_the_library_is_searched(lexical: PostgresRetriever) -> None:
    assert list(verdicts(await lexical.search(ATTACK, None))) == ["global"]


@pytest.mark.parametrize("question", ["the of and", "?!", "Tell me what you think, please"])
async def test_stop_words_alone_find_nothing(hybrid: PostgresRetriever, question: str) -> None:
    ranking = await hybrid.rank(question, "mara", per_tier=5)
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
async def test_words_of_unspaced_scripts_are_found(
    lexical: PostgresRetriever, question: str, title: str
) -> None:
    found = await lexical.search(question, None)
    assert found.tier == "global"
    assert titles(found) == [title]


async def test_ranking_has_a_limited_number_of_passages_per_document(small_library: str) -> None:
    for limit in (1, 3):
        async with open_retriever(small_library, per_document=limit) as retriever:
            question = "What ceiling does a limiter need for the loudest peaks?"
            ranking = await retriever.rank(question, None, per_tier=12)
            of_limiters = [hit for hit in ranking.hits("global") if hit.row["title"] == "Limiters"]
            assert len(of_limiters) == limit


async def test_scores_are_between_0_and_1_in_descending_order(hybrid: PostgresRetriever) -> None:
    found = await hybrid.search(ATTACK, None)
    scores = [source.citation.score for source in found.sources]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    assert all(0 <= one.confidence <= 1 for one in found.tiers)


async def test_passage_sharing_no_word_with_the_question_is_found_by_its_embedding(
    hybrid: PostgresRetriever, lexical: PostgresRetriever
) -> None:
    question = "A doctor rushing toward an ill kid"
    assert (await lexical.rank(question, None, per_tier=3)).hits("global") == ()
    ranking = await hybrid.rank(question, None, per_tier=3)
    best = ranking.hits("global")[0]
    assert (ranking.matching, best.row["title"]) == ("hybrid", "A visitor")
    assert best.scores.lexical == 0


def by_language(text: str) -> list[float]:
    """Give texts about a kick drum, in two languages, one vector, and all others another."""
    return [1.0, 0.1] if {"kick", "Basstrommel"} & set(text.split()) else [0.0, 1.0]


async def test_question_in_another_language_is_found_by_its_embedding(
    database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    embedder = ScriptedEmbedder(vector_of=by_language)
    await fill(database, tmp_path, PAGES, embedder)
    await save_classifier(database, msgspec.json.encode(constant(8, 1.0)).decode(), "scripted")
    async with open_retriever(database_url, embedder) as retriever:
        found = await retriever.search("Wie bleibt meine Basstrommel vorn?", None)
    assert (found.tier, found.matching) == ("global", "hybrid")
    assert titles(found)[0] == "Side-chain the bass"


async def test_refusal_has_the_closest_sources_and_the_unknown_names(
    database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    question = "What does the Marlowe compressor do to the attack of the drums?"
    regression = CalibratedRegression((0.0,) * 5, (0.0,) * 5, (1.0,) * 5, bias=-0.1, margin=2.0)
    await fill(database, tmp_path, PAGES, None)
    for margin, expected in ((2.0, "global"), (0.0, "none")):
        classifier = AnswerabilityClassifier(replace(regression, margin=margin), floor=0.0)
        await save_classifier(database, msgspec.json.encode(classifier).decode())
        async with open_retriever(database_url) as retriever:
            found = await retriever.search(question, None)
            # Names are found also if the library lacks most words.
            strange = await retriever.search("What does the Marlowe Quillback of drums do?", None)
        assert strange.unknown_terms == ("Marlowe", "Quillback")
        assert (found.tier, found.sources, found.closest_tier) == ("none", (), expected)
        assert found.unknown_terms == ("Marlowe",)
        assert [one.citation.number for one in found.closest] == [1, 2, 3][: len(found.closest)]
        assert bool(found.closest) == (expected != "none")


async def test_languages_of_at_least_a_tenth_of_the_library_are_known(
    database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    await fill(database, tmp_path, PAGES, None)
    await database.execute("UPDATE documents SET language = 'en_GB' WHERE language = 'en'")
    async with open_retriever(database_url) as retriever:
        assert (await retriever.languages())[0] == "en"
    await database.execute("UPDATE documents SET language = 'nb' WHERE language LIKE 'en%'")
    async with open_retriever(database_url) as retriever:
        assert (await retriever.search(ATTACK, None)).library_languages[0] == "no"


async def test_scores_are_nearly_the_same_with_and_without_pgvector(
    small_library: str, lexical: PostgresRetriever
) -> None:
    questions = [ATTACK, "How do I set the decay of a plate reverb?", "低音的起音时间是多少？"]
    async with open_retriever(small_library) as counted:
        counted._pgvector = False
        for question in questions:
            with_it = (await lexical.rank(question, None, per_tier=12)).hits("global")
            without = (await counted.rank(question, None, per_tier=12)).hits("global")
            assert [hit.passage_id for hit in with_it] == [hit.passage_id for hit in without]
            assert [hit.score for hit in with_it] == pytest.approx(
                [hit.score for hit in without], rel=0.05
            )
