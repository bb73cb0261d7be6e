"""Misspelt words of a question are replaced by words that the library has."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.services.search.retriever import PostgresRetriever
from app.services.search.spelling import MAX_LENGTH, MAX_WORDS, correct_spelling
from tests.servers import SharedServers
from tests.services.search.search_library import ScriptedEmbedder, fill, open_retriever, page

pytestmark = pytest.mark.anyio

ENGLISH = [
    "The transactions of a wallet are confidential, and its schnorr signatures are verified.",
    "A confidential transaction hides amounts, about as a sealed wallet does; schnorr helps.",
    "Schnorr makes a wallet smaller, and transactions stay confidential.",
    "Only here is a rarebit eaten.",
]
PAGES = {
    **{f"ann/{n}.md": page(f"Notes {n}", text) for n, text in enumerate(ENGLISH)},
    "uwe/de.md": page("Notizen", "Die Brieftasche bleibt hier verborgen.", language="de"),
    "wang/zh.md": page("钱包", "钱包里的交易是保密的。", language="zh"),
}


@pytest.fixture(scope="module")
async def library_url(
    anyio_backend: object, shared: SharedServers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    await fill(connection, tmp_path_factory.mktemp("library"), PAGES)
    await connection.close()
    yield url
    shared.drop_database(url)


@pytest.fixture
async def library(anyio_backend: object, library_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(library_url)
    yield connection
    await connection.close()


@pytest.fixture
async def lexical(anyio_backend: object, library_url: str) -> AsyncIterator[PostgresRetriever]:
    async with open_retriever(library_url) as retriever:
        yield retriever


@pytest.mark.parametrize(
    ("misspelt", "corrected"),
    [
        ("a walet?", "a wallet?"),  # a letter is missing
        ("a walllet?", "a wallet?"),  # one too many
        ("a wablet?", "a wallet?"),  # another one
        ("Confidentail?", "Confidential?"),  # two exchanged
        ("its wallte, walet and schnor", "its wallet, wallet and schnorr"),
        # As passages write it, not only with the same stem.
        ("transactins", "transactions"),
    ],
)
async def test_word_at_one_edit_is_corrected(
    library: asyncpg.Connection, misspelt: str, corrected: str
) -> None:
    assert await correct_spelling(library, misspelt, "english") == corrected


@pytest.mark.parametrize(
    "question",
    [
        "Does Quillfish have a wallet?",
        "wallets and a brieftasche",  # another language of the library has it
        "What does it say about that?",  # stop words
        "a wxllxt",  # two edits
        "they walletin",  # "walleting" has the stem of "wallet", but no passage has it
        "wallet7 wal_let schnor2",
        "a rarebits, a rarebid",  # in one passage only, so it may be misspelt there
        "钱包里的交易",
        "sign",
        "",
    ],
)
async def test_other_words_are_kept(library: asyncpg.Connection, question: str) -> None:
    assert await correct_spelling(library, question, "english") == question


async def test_only_the_first_words_are_corrected(library: asyncpg.Connection) -> None:
    others = " ".join(f"unheard{letter}" for letter in "abcdefgh"[:MAX_WORDS])
    assert await correct_spelling(library, f"walet {others}", "english") == f"wallet {others}"
    assert await correct_spelling(library, f"{others} walet", "english") == f"{others} walet"


async def test_very_long_words_are_kept(tmp_path: Path, shared: SharedServers) -> None:
    word = "w" * MAX_LENGTH
    pages = {f"ann/{n}.md": page(f"{n}", f"Here is {word} and {word}w.") for n in range(3)}
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    await fill(connection, tmp_path, pages)
    question = f"{word[1:]} {word}ww"
    assert await correct_spelling(connection, question, "english") == f"{word} {word}ww"
    await connection.close()
    shared.drop_database(url)


async def test_misspelt_question_is_searched_as_corrected(lexical: PostgresRetriever) -> None:
    found = await lexical.search("Are the transactions of a walet confidential?", None)
    assert found.question == "Are the transactions of a wallet confidential?"
    right = await lexical.search("Are the transactions of a wallet confidential?", None)
    assert found == right
    assert right.tier == "global"


async def test_question_of_mostly_unknown_words_is_not_corrected(
    lexical: PostgresRetriever,
) -> None:
    question = "Which walet flies over Saturn in winter?"
    assert (await lexical.search(question, None)).question == question


async def test_corrected_question_is_embedded_again(
    library_url: str, shared: SharedServers, tmp_path: Path
) -> None:
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    embedder = ScriptedEmbedder()
    await fill(connection, tmp_path, PAGES, embedder)
    await connection.close()
    embedder.calls.clear()
    async with open_retriever(url, embedder) as retriever:
        found = await retriever.search("A confidential walet?", None)
    assert found.matching == "hybrid"
    assert embedder.calls == [["A confidential walet?"], ["A confidential wallet?"]]
    shared.drop_database(url)


async def test_results_name_the_words_that_the_library_lacks_in_their_language(
    lexical: PostgresRetriever,
) -> None:
    ranking = await lexical.rank("Quillfish and a wallet, Brieftasche", None, per_tier=9)
    unknown = {hit.row["language"]: sorted(hit.row["unknown"]) for hit in ranking.hits("global")}
    assert unknown == {
        "english": ["brieftasch", "quillfish"],
        "german": ["a", "and", "quillfish", "wallet"],
    }
    first = ranking.hits("global")[0].row
    assert first["main_language"] == "english"
    assert sorted(first["main_unknown"]) == ["brieftasch", "quillfish"]
