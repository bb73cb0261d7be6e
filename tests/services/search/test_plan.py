"""Search while indexes and classifiers change in the database, and while embedders fail."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncpg
import msgspec
import pytest

from app.infra.http.client import HTTPClient
from app.services.search.embedding.remote import RemoteConfig, RemoteEmbedder
from tests.scripted_embedder import embeddings, word_counts
from tests.scripted_model import Answer, ScriptedModel, refuse
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
async def embedding_server() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel() as server:
        server.answers(embeddings())
        yield server


@pytest.fixture
async def remote_url(database: asyncpg.Connection, database_url: str, tmp_path: Path) -> str:
    """A library embedded by the embedder `remote`."""
    await fill(database, tmp_path, PAGES, ScriptedEmbedder("remote"))
    return database_url


def remote(http: HTTPClient, server: ScriptedModel) -> RemoteEmbedder:
    config = RemoteConfig(base_url=server.base_url, model="remote", attempts=1, timeout=5.0)
    return RemoteEmbedder(http, config)


@pytest.mark.parametrize(
    ("answer", "embedding_timeout"),
    [(refuse(500), 5.0), (Answer((anyio.Event(),)), 0.05)],
    ids=["refuses", "stalls"],
)
async def test_search_is_lexical_while_the_embedder_fails(
    remote_url: str,
    embedding_server: ScriptedModel,
    answer: Answer,
    embedding_timeout: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        HTTPClient() as http,
        open_retriever(
            remote_url, remote(http, embedding_server), embedding_timeout=embedding_timeout
        ) as retriever,
    ):
        assert (await retriever.search(ATTACK, "mara")).matching == "hybrid"
        embedding_server.answers(answer)
        with caplog.at_level(logging.WARNING):
            found = await retriever.search(ATTACK, "mara")
        assert (found.tier, found.matching) == ("creator", "lexical")
        assert "lexical search only" in caplog.text
        assert ATTACK not in caplog.text
        embedding_server.answers(embeddings())
        assert (await retriever.search(ATTACK, "mara")).matching == "hybrid"


async def test_search_is_lexical_if_the_embedder_has_another_dimension(
    remote_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    narrow = ScriptedEmbedder("remote", lambda text: [1.0, 2.0])
    async with open_retriever(remote_url, narrow) as retriever:
        for _ in range(2):
            found = await retriever.search(ATTACK, "mara")
            assert (found.tier, found.matching) == ("creator", "lexical")
    assert "gives 2 dimensions" in caplog.text


async def test_answering_tier_has_a_source_with_a_valid_score_even_if_similarity_is_negative(
    database: asyncpg.Connection, remote_url: str
) -> None:
    # The vector is opposite to every passage, and the classifier answers everything.
    opposite = ScriptedEmbedder(
        "remote", lambda text: [-value for value in word_counts("the a of")]
    )
    await save_classifier(database, msgspec.json.encode(constant(8, 9.0)).decode(), "remote")
    async with open_retriever(remote_url, opposite) as retriever:
        found = await retriever.search("Saturn", None)
    assert found.tier == "global"
    assert found.sources
    assert all(0 <= source.citation.score <= 1 for source in found.sources)


async def test_running_service_uses_a_new_classifier(
    database: asyncpg.Connection, remote_url: str
) -> None:
    embedder = ScriptedEmbedder("remote")
    async with (
        open_retriever(remote_url, embedder) as retriever,
        open_retriever(remote_url) as lexical,
    ):
        assert (await retriever.search(ATTACK, None)).tier == "global"
        assert (await lexical.search(ATTACK, None)).tier == "global"

        closed = msgspec.json.encode(constant(8, -9.0)).decode()
        first = await save_classifier(database, closed, "remote")
        assert (await retriever.search(ATTACK, None)).tier == "none"
        assert (await lexical.search(ATTACK, None)).tier == "global"

        second = await save_classifier(database, msgspec.json.encode(constant(5, -99.0)).decode())
        assert (await lexical.search(ATTACK, None)).tier == "none"

        await database.execute("DELETE FROM gates WHERE id = ANY($1::integer[])", [first, second])
        assert (await retriever.search(ATTACK, None)).tier == "global"
        assert (await lexical.search(ATTACK, None)).tier == "global"


@pytest.mark.parametrize("model", ["{}", msgspec.json.encode(constant(4, -9.0)).decode()])
async def test_classifier_of_another_release_is_ignored(
    database: asyncpg.Connection, remote_url: str, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    for embedder in (None, "remote"):
        await save_classifier(database, model, embedder)
    async with open_retriever(remote_url, ScriptedEmbedder("remote")) as retriever:
        assert (await retriever.search(ATTACK, None)).tier == "global"
    assert "python -m app calibrate" in caplog.text


async def test_running_service_uses_an_index_once_it_is_complete(
    database: asyncpg.Connection, remote_url: str
) -> None:
    await database.execute("UPDATE embedders SET complete = false")
    async with open_retriever(remote_url, ScriptedEmbedder("remote")) as retriever:
        assert (await retriever.search(ATTACK, None)).matching == "lexical"
        await database.execute("UPDATE embedders SET complete = true")
        # The first question still runs with the old plan, without an embedding.
        matchings = [(await retriever.search(ATTACK, None)).matching for _ in range(2)]
    assert matchings == ["lexical", "hybrid"]


async def test_a_model_is_loaded_at_the_start_only_if_searches_use_it(
    remote_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    used, unused = ScriptedEmbedder("remote"), ScriptedEmbedder("other")
    for embedder in (used, unused):
        async with open_retriever(remote_url, embedder) as retriever:
            await retriever.warm_up()
    assert (len(used.calls), len(unused.calls)) == (1, 0)
    (warning,) = (log.getMessage() for log in caplog.records if log.levelname == "WARNING")
    assert warning == (
        "lexical search only: the library has only embeddings by remote;"
        " run `python -m app reindex` to embed it with other"
    )


async def test_search_is_lexical_without_pgvector(
    superuser: asyncpg.Connection, database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    await database.execute("ALTER TABLE passages DROP COLUMN weights")
    await database.execute("DROP FUNCTION bm25_weights, place")
    # The service's role cannot create it again.
    await superuser.execute("DROP EXTENSION vector")
    await fill(database, tmp_path, PAGES, pgvector=False)
    async with open_retriever(database_url, ScriptedEmbedder()) as retriever:
        found = await retriever.search(ATTACK, "mara")
        assert (found.tier, found.matching) == ("creator", "lexical")
        nothing = await retriever.search("Who discovered the moons of Saturn?", None)
        assert nothing.tier == "none"
