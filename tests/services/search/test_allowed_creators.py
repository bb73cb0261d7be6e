"""Callers who may read only some creators find nothing of the others."""

from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path

import asyncpg
import pytest

from app.schemas import Retrieval
from app.services.search.embedding.use import UseEmbedder
from app.services.search.ranking import TIERS, Ranking
from app.services.search.retriever import PostgresRetriever
from tests.services.search.search_library import (
    ATTACK,
    PAGES,
    ScriptedEmbedder,
    fill,
    open_retriever,
    page,
)

pytestmark = pytest.mark.anyio

QUESTIONS = [
    ATTACK,
    "How do I set the decay of a plate reverb on vocals?",
    "What ceiling does a limiter need for the loudest peaks?",
    "低音的起音时间是多少？",
    "Who discovered the moons of Saturn?",
]
CREATORS = sorted({path.partition("/")[0] for path in PAGES})
ALLOWED = [("mara",), ("june", "wang"), ("tom", "sato", "nobody"), tuple(CREATORS)]
# `ann` and `bob` each have words that the other has not, and share a topic.
OWN_WORDS = {
    "ann/1.md": page("Compression", "The compressor holds the drums, says Marlowe.", topic="Mix"),
    "ann/2.md": page("Drums", "A compressor with a slow attack keeps the drums.", topic="Mix"),
    "ann/3.md": page("Drums again", "The compressor and the drums, once more.", topic="Mix"),
    **{
        f"bob/{n}.md": page(f"Quillfish {n}", "A wallet for the Quillfish.", topic="Mix")
        for n in range(4)
    },
    "uwe/1.md": page("Kompressor", "Der Kompressor hält die Trommeln.", language="de"),
}


@pytest.fixture(params=["lexical", "hybrid"])
async def retriever(
    small_library: str, use: UseEmbedder, request: pytest.FixtureRequest
) -> AsyncIterator[PostgresRetriever]:
    embedder = use if request.param == "hybrid" else None
    async with open_retriever(small_library, embedder, per_document=20) as retriever:
        yield retriever


@pytest.fixture(params=["lexical", "hybrid"])
async def own_words(
    database: asyncpg.Connection,
    database_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[PostgresRetriever]:
    embedder = ScriptedEmbedder() if request.param == "hybrid" else None
    await fill(database, tmp_path, OWN_WORDS, embedder)
    async with open_retriever(database_url, embedder) as retriever:
        yield retriever


def passages(ranking: Ranking) -> Iterator[tuple[int, str]]:
    """Yield the tier and the creator of each passage."""
    for tier in TIERS:
        for hit in ranking.hits(tier):
            yield TIERS.index(tier), hit.row["slug"]


def shown(found: Retrieval) -> set[str]:
    return {source.citation.creator.slug for source in (*found.sources, *found.closest)}


@pytest.mark.parametrize("allowed", ALLOWED, ids="+".join)
async def test_every_tier_has_all_passages_of_allowed_creators_and_no_others(
    retriever: PostgresRetriever, allowed: tuple[str, ...]
) -> None:
    for question, creator in product(QUESTIONS, [None, *allowed]):
        whole = await retriever.rank(question, creator, per_tier=100)
        own = await retriever.rank(question, creator, per_tier=100, allowed_creators=allowed)
        expected = sorted(one for one in passages(whole) if one[1] in allowed)
        assert sorted(passages(own)) == expected
        found = await retriever.search(question, creator, allowed)
        assert shown(found) <= set(allowed)


async def test_creator_who_is_not_allowed_is_unknown(retriever: PostgresRetriever) -> None:
    for creator in ("mara", "Mara", "nobody"):
        found = await retriever.search(ATTACK, creator, ("june", "tom"))
        assert found.creator is None
        assert [one.tier for one in found.tiers] == ["domain", "global"]
        assert all(one.hits == 0 for one in found.tiers if one.tier == "domain")
        assert shown(found) <= {"june", "tom"}


async def test_empty_allow_list_finds_nothing(retriever: PostgresRetriever) -> None:
    for creator in (None, "mara"):
        found = await retriever.search(ATTACK, creator, ())
        assert (found.tier, found.closest_tier, shown(found)) == ("none", "none", set())
        assert (found.creator, found.library_languages) == (None, ())
        assert not any(one.hits or one.confidence for one in found.tiers)
    assert await retriever.creators("", ()) == []


async def test_only_allowed_creators_are_listed(retriever: PostgresRetriever) -> None:
    listed = await retriever.creators("", ("mara", "tom", "nobody"))
    assert [one.slug for one in listed] == ["mara", "tom"]
    assert [one.slug for one in await retriever.creators("")] == CREATORS


async def test_only_creators_of_equal_topics_who_are_allowed_are_in_the_domain(
    retriever: PostgresRetriever,
) -> None:
    question = "With which ratio do I squash a copy of the drums?"
    whole = await retriever.rank(question, "mara", per_tier=12)
    assert "june" in {hit.row["slug"] for hit in whole.hits("domain")}
    own = await retriever.rank(question, "mara", per_tier=12, allowed_creators=("mara", "tom"))
    assert {hit.row["slug"] for hit in own.hits("domain")} <= {"mara"}


async def test_name_that_only_others_mention_is_unknown(own_words: PostgresRetriever) -> None:
    question = "What does the compressor of Quillfish do to the drums?"
    whole = await own_words.search(question, None)
    own = await own_words.search(question, None, ("ann",))
    assert (whole.unknown_terms, own.unknown_terms) == ((), ("Quillfish",))
    # Nothing depends on whether others mention it.
    nobody = await own_words.search(question.replace("Quillfish", "Zyxwvut"), None, ("ann",))
    assert nobody.unknown_terms == ("Zyxwvut",)
    assert (own.tier, own.tiers) == (nobody.tier, nobody.tiers)


async def test_spelling_is_corrected_to_words_of_allowed_creators_only(
    own_words: PostgresRetriever,
) -> None:
    question = "Does the compressor hold the drums in a walet?"
    corrected = question.replace("walet", "wallet")
    assert (await own_words.search(question, None)).question == corrected
    assert (await own_words.search(question, None, ("ann", "bob"))).question == corrected
    assert (await own_words.search(question, None, ("ann",))).question == question


async def test_word_that_only_others_have_may_be_a_misspelling(
    database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    await fill(database, tmp_path, {**OWN_WORDS, "eve/1.md": page("Eve", "The compresor.")})
    question = "How does the compresor keep the drums?"
    corrected = question.replace("compresor", "compressor")
    async with open_retriever(database_url) as retriever:
        assert (await retriever.search(question, None)).question == question
        assert (await retriever.search(question, None, ("ann",))).question == corrected


async def test_languages_are_those_of_allowed_creators(own_words: PostgresRetriever) -> None:
    assert await own_words.languages() == ("en", "de")
    assert await own_words.languages(("ann", "bob")) == ("en",)
    assert (await own_words.search("Who?", None, ("uwe",))).library_languages == ("de",)
