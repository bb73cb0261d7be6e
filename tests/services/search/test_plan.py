"""What the database holds while a service runs: its indexes and gates, and embedders that fail."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from app.infra.http.client import HTTPClient
from app.services.search.answerability import DEFAULT_LEXICAL
from app.services.search.embedding.remote import RemoteConfig, RemoteEmbedder
from tests.scripted_embedder import embeddings, word_counts
from tests.scripted_model import Answer, ScriptedModel, refuse
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


@pytest.fixture
async def embedding_server() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel() as server:
        server.answers(embeddings())
        yield server


@pytest.fixture
async def remote_url(database: asyncpg.Connection, database_url: str, tmp_path: Path) -> str:
    """A library whose embeddings a server has made."""
    await fill(database, tmp_path, PAGES, ToldEmbedder("remote"))
    return database_url


def remote(http: HTTPClient, server: ScriptedModel) -> RemoteEmbedder:
    config = RemoteConfig(base_url=server.base_url, model="remote", attempts=1, timeout=5.0)
    return RemoteEmbedder(http, config)


@pytest.mark.parametrize(
    ("answer", "patience"),
    [(refuse(500), 5.0), (Answer((anyio.Event(),)), 0.05)],
    ids=["refuses", "stalls"],
)
async def test_an_embedder_that_does_not_answer_leaves_the_search_by_words(
    remote_url: str,
    embedding_server: ScriptedModel,
    answer: Answer,
    patience: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        HTTPClient() as http,
        searching(remote_url, remote(http, embedding_server), patience=patience) as retriever,
    ):
        assert (await retriever.search(ATTACK, "mara")).matching == "hybrid"
        embedding_server.answers(answer)
        with caplog.at_level(logging.WARNING):
            found = await retriever.search(ATTACK, "mara")
        assert (found.tier, found.matching) == ("creator", "lexical")
        assert "searched by words alone" in caplog.text
        assert ATTACK not in caplog.text
        embedding_server.answers(embeddings())
        assert (await retriever.search(ATTACK, "mara")).matching == "hybrid"


async def test_an_embedder_of_other_dimensions_leaves_the_search_by_words(
    remote_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    narrow = ToldEmbedder("remote", lambda text: [1.0, 2.0])
    async with searching(remote_url, narrow) as retriever:
        for _ in range(2):
            found = await retriever.search(ATTACK, "mara")
            assert (found.tier, found.matching) == ("creator", "lexical")
    assert "gives 2 dimensions, and the library's embeddings have 64" in caplog.text


async def test_what_answers_has_a_source_and_a_score_however_far_off_it_is(
    database: asyncpg.Connection, remote_url: str
) -> None:
    # Opposite to every passage, and a gate that lets everything pass.
    opposite = ToldEmbedder("remote", lambda text: [-value for value in word_counts("the a of")])
    await keep_gate(database, msgspec.json.encode(constant(13, 9.0)).decode(), "remote")
    async with searching(remote_url, opposite) as retriever:
        found = await retriever.search("Saturn", None)
    assert found.tier == "global"
    assert found.sources
    assert all(0 <= source.citation.score <= 1 for source in found.sources)


async def test_a_new_gate_is_taken_up_by_a_service_that_runs(
    database: asyncpg.Connection, remote_url: str
) -> None:
    embedder = ToldEmbedder("remote")
    async with searching(remote_url, embedder) as retriever, searching(remote_url) as by_words:
        assert (await retriever.search(ATTACK, None)).tier == "global"
        assert (await by_words.search(ATTACK, None)).tier == "global"

        closed = msgspec.json.encode(constant(13, -9.0)).decode()
        first = await keep_gate(database, closed, "remote")
        assert (await retriever.search(ATTACK, None)).tier == "none"
        assert (await by_words.search(ATTACK, None)).tier == "global"

        second = await keep_gate(
            database, msgspec.json.encode(replace(DEFAULT_LEXICAL, bias=-99.0)).decode()
        )
        assert (await by_words.search(ATTACK, None)).tier == "none"

        await database.execute("DELETE FROM gates WHERE id = ANY($1::integer[])", [first, second])
        assert (await retriever.search(ATTACK, None)).tier == "global"
        assert (await by_words.search(ATTACK, None)).tier == "global"


@pytest.mark.parametrize("model", ["{}", msgspec.json.encode(constant(5, -9.0)).decode()])
async def test_a_gate_of_another_release_is_none(
    database: asyncpg.Connection, remote_url: str, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    for embedder in (None, "remote"):
        await keep_gate(database, model, embedder)
    async with searching(remote_url, ToldEmbedder("remote")) as retriever:
        assert (await retriever.search(ATTACK, None)).tier == "global"
    assert "python -m app calibrate" in caplog.text


async def test_an_index_that_becomes_complete_is_taken_up(
    database: asyncpg.Connection, remote_url: str
) -> None:
    await database.execute("UPDATE embedders SET complete = false")
    async with searching(remote_url, ToldEmbedder("remote")) as retriever:
        assert (await retriever.search(ATTACK, None)).matching == "lexical"
        await database.execute("UPDATE embedders SET complete = true")
        # The first question after it was not embedded yet.
        matchings = [(await retriever.search(ATTACK, None)).matching for _ in range(2)]
    assert matchings == ["lexical", "hybrid"]


async def test_without_pgvector_words_are_searched_all_the_same(
    bare_database_url: str, database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    await database.execute("ALTER TABLE passages DROP COLUMN weights")
    await database.execute("DROP FUNCTION bm25_weights, place; DROP EXTENSION vector")
    await fill(database, tmp_path, PAGES, pgvector=False)
    # A role that may read, and not bring the extension back.
    role = "reader_of_" + database_url.partition("?")[0].rpartition("/")[2]
    await database.execute(f"CREATE ROLE {role} LOGIN")
    await database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        url = database_url.replace("chrysopedia@", f"{role}@")
        async with searching(url, ToldEmbedder()) as retriever:
            found = await retriever.search(ATTACK, "mara")
            assert (found.tier, found.matching) == ("creator", "lexical")
            nothing = await retriever.search("Who discovered the moons of Saturn?", None)
            assert nothing.tier == "none"
    finally:
        await database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
