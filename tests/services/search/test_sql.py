"""The search statement in a larger library: query plans, scores and tiers."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import asyncpg
import pytest

from app.infra.database import configure_connection
from app.services.ingest.store.embeddings import CREATE_TABLE
from app.services.ingest.store.term_statistics import refresh_statistics
from app.services.search.sql import (
    FULL_COVERAGE,
    MAX_TERMS,
    EmbeddingIndex,
    search_statement,
)
from tests.servers import SharedServers

pytestmark = pytest.mark.anyio

DIMENSION = 64
INDEX = EmbeddingIndex(1, "random", DIMENSION)
ALLOWED = "c0,c7,c60,nobody".split(",")
# More passages than are compared one by one.
MANY_ALLOWED = [f"c{n}" for n in range(55)]
VARIANTS = {
    "plain": search_statement(pgvector=False, index=None),
    "sparse": search_statement(pgvector=True, index=None),
    "hybrid": search_statement(pgvector=True, index=INDEX),
}
LARGE = ("passages", "passage_texts", INDEX.table)
RESTRICTED = {
    "plain": search_statement(pgvector=False, index=None, restricted=True),
    "sparse": search_statement(pgvector=True, index=None, restricted=True),
    "hybrid": search_statement(pgvector=True, index=INDEX, restricted=True),
}
_TYPES = ["text", "text", "text", "bigint", "bigint"]
TYPES = {"plain": _TYPES, "sparse": _TYPES, "hybrid": [*_TYPES, "text", "float8"]}
ARGUMENTS = {"plain": "", "sparse": "", "hybrid": f", '{[0.1] * DIMENSION}', 0.6"}

# 12,000 passages of 15 words: w1 is in most of them, w3000 in hardly any. Creators c0 to c59 have a
# topic each, shared by two. c60 has one passage of common words only.
FILL = f"""
SELECT setseed(0.5);
INSERT INTO libraries (name, path) VALUES ('l', 'l');
INSERT INTO creators (slug, name, name_key) SELECT 'c' || n, n, n FROM generate_series(0, 60) n;
INSERT INTO topics (slug, name) SELECT n, n FROM generate_series(1, 30) n;
INSERT INTO documents (library_id, creator_id, topic_id, key, kind, title, language, words,
                       content_hash)
SELECT 1, 1 + n % 60, 1 + n % 30, n::text, 'page', '', 'en', 0, ''::bytea
FROM generate_series(0, 599) n
UNION ALL SELECT 1, 61, 1, 'common', 'page', '', 'en', 0, '';
INSERT INTO passages (document_id, creator_id, topic_id, ordinal, language, search)
SELECT d.id, d.creator_id, d.topic_id, n, 'simple', tokenize('simple', (
    SELECT string_agg('w' || floor(exp(random() * 8))::integer, ' ')
    FROM generate_series(1, 15) WHERE n + d.id > 0
))
FROM documents d CROSS JOIN generate_series(1, 20) n
WHERE d.key <> 'common'
UNION ALL
SELECT id, creator_id, topic_id, 1, 'simple', tokenize('simple', 'w1 w2 w1')
FROM documents WHERE key = 'common';
UPDATE passages SET length = words_in(search);
INSERT INTO passage_texts (passage_id, first_sentence, sentences) SELECT id, 0, '[]' FROM passages;
INSERT INTO languages (language, passages, stale) VALUES ('simple', 0, true);
INSERT INTO embedders (name, dimension, complete) VALUES ('random', {DIMENSION}, true);
{CREATE_TABLE.format(table=INDEX.table, dimension=DIMENSION)}
INSERT INTO {INDEX.table}
SELECT id, creator_id, topic_id, l2_normalize((
    SELECT array_agg(random() - 0.5) FROM generate_series(1, {DIMENSION}) WHERE id > 0
)::real[]::halfvec({DIMENSION}))
FROM passages;
CREATE INDEX nearest ON {INDEX.table} USING hnsw (embedding halfvec_ip_ops)
WITH (m = 4, ef_construction = 16);
ANALYZE;
"""  # noqa: S608


@pytest.fixture(scope="module")
async def library_url(anyio_backend: object, shared: SharedServers) -> AsyncIterator[str]:
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(FILL)
        await refresh_statistics(connection, ["simple"], pgvector=True)
    finally:
        await connection.close()
    yield url
    shared.drop_database(url)


@pytest.fixture
async def library(anyio_backend: object, library_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection prepared as in the service, with generic query plans."""
    connection = await asyncpg.connect(library_url)
    await configure_connection(connection)
    with anyio.fail_after(30):
        yield connection
    await connection.close()


async def search(
    library: asyncpg.Connection,
    variant: str,
    question: str,
    creator: str | None = None,
    per_tier: int = 12,
    allowed: list[str] | None = None,
) -> list[asyncpg.Record]:
    vector = [0.1] * DIMENSION
    arguments: list[object] = [question, creator, creator, 6, per_tier]
    if variant == "hybrid":
        arguments += [str(vector), 0.6]
    if allowed is None:
        rows = await library.fetch(VARIANTS[variant], *arguments)
    else:
        rows = await library.fetch(RESTRICTED[variant], *arguments, allowed)
    return [row for row in rows if row["tier"] is not None]


def scored(row: asyncpg.Record) -> tuple[int, float]:
    return row["id"], row["score"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(
    library: asyncpg.Connection, variant: str, *, restricted: bool = False
) -> list[dict[str, Any]]:
    """Return the nodes of the generic plan, which also serves questions with a creator."""
    statement, types = VARIANTS[variant], TYPES[variant]
    if restricted:
        statement, types = RESTRICTED[variant], [*types, "text[]"]
    arguments = f"'w7', 'c1', 'c1', 6, 12{ARGUMENTS[variant]}"
    arguments += ", '{c1,c2}'" if restricted else ""
    await library.execute(f"PREPARE search ({', '.join(types)}) AS {statement}")
    explained = await library.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE search ({arguments})")
    return list(nodes(json.loads(explained)[0]["Plan"]))


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
async def test_query_plan_reads_no_large_table_sequentially(
    library: asyncpg.Connection, variant: str, *, restricted: bool
) -> None:
    plan = await plan_of(library, variant, restricted=restricted)
    relations = {node.get("Relation Name") for node in plan}
    assert {"passages", "passage_texts"} <= relations
    assert (INDEX.table in relations) == (variant == "hybrid")
    # In this small table, filtered neighbours are found as fast without the HNSW index.
    large = LARGE[:2] if restricted else LARGE
    assert not [
        node["Relation Name"]
        for node in plan
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in large
    ]


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
async def test_query_plan_uses_the_indexes(
    library: asyncpg.Connection, variant: str, *, restricted: bool
) -> None:
    plan = await plan_of(library, variant, restricted=restricted)
    used = {node.get("Index Name") for node in plan}
    assert {"passages_search", "passages_creator", "passages_topic", "terms_pkey"} <= used
    if not restricted:
        assert ("nearest" in used) == (variant == "hybrid")


@pytest.mark.parametrize(
    ("question", "creator"),
    [
        ("w3", None),
        ("w40 w41 w900", None),
        ("w1 w2 w3 w5 w8 w13 w21", None),
        ("w300 w300 unheard-of", None),
        ("w20 w30", "c7"),
        ("w1 w1000 w2000", "c60"),
    ],
)
async def test_sparse_vectors_and_word_counts_give_the_same_scores(
    library: asyncpg.Connection, question: str, creator: str | None
) -> None:
    sparse = await search(library, "sparse", question, creator)
    plain = await search(library, "plain", question, creator)
    assert sparse
    assert [(row["tier"], row["score"]) for row in sparse] == [
        (row["tier"], pytest.approx(row["score"], abs=1e-3)) for row in plain
    ]


@pytest.mark.parametrize("variant", VARIANTS)
async def test_passages_rank_alike_in_every_tier(library: asyncpg.Connection, variant: str) -> None:
    rows = await search(library, variant, "w12 w60 w600", "c7", per_tier=500)
    own, shared, whole = ([row for row in rows if row["tier"] == tier] for tier in (1, 2, 3))
    assert {row["slug"] for row in own} == {"c7"}
    assert {row["topic"] for row in shared} == {"8"}
    for narrow, here in (
        (own, [scored(row) for row in whole if row["slug"] == "c7"]),
        (shared, [scored(row) for row in whole if row["topic"] == "8"]),
    ):
        assert here
        assert here == [scored(row) for row in narrow if scored(row) in here]


@pytest.mark.parametrize("variant", VARIANTS)
async def test_creators_passages_are_found_by_common_words(
    library: asyncpg.Connection, variant: str
) -> None:
    rows = await search(library, variant, "w1 w2 w1700 w1800 w1900", "c60")
    (found,) = [row for row in rows if row["tier"] == 1]
    assert found["slug"] == "c60"
    assert found["lexical"] > 0


@pytest.mark.parametrize("variant", ["plain", "sparse"])
async def test_unknown_words_find_nothing(library: asyncpg.Connection, variant: str) -> None:
    assert await search(library, variant, "unheard-of words", "c7") == []
    assert await search(library, variant, "", "c7") == []


@pytest.mark.parametrize("variant", VARIANTS)
async def test_question_without_a_creator_searches_only_the_library(
    library: asyncpg.Connection, variant: str
) -> None:
    assert {row["tier"] for row in await search(library, variant, "w20 w30")} == {3}


@pytest.mark.parametrize(
    ("question", "covered"), [("w40 w41 w900", True), ("w2 unheard-of", False), ("unheard", False)]
)
async def test_words_count_less_if_the_library_has_few_of_them(
    library: asyncpg.Connection, question: str, *, covered: bool
) -> None:
    rows = await search(library, "hybrid", question)
    assert rows
    for row in rows:
        coverage = row["library_coverage"]
        assert (coverage >= FULL_COVERAGE) == covered
        weight = 0.6 * min(1.0, coverage / FULL_COVERAGE)
        expected = weight * row["lexical"] + (1 - weight) * row["cosine"]
        assert row["score"] == pytest.approx(expected)


LONG = " ".join([*(f"w{n}" for n in range(1, 1001)), *(f"unheard{n}" for n in range(1000))])


@pytest.mark.parametrize("variant", VARIANTS)
async def test_only_the_rarest_terms_of_a_long_question_are_searched(
    library: asyncpg.Connection, variant: str
) -> None:
    await library.execute(f"PREPARE search ({', '.join(TYPES[variant])}) AS {VARIANTS[variant]}")
    arguments = f"'{LONG}', null, null, 6, 12{ARGUMENTS[variant]}"
    explained = await library.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE search ({arguments})"
    )
    plan = list(nodes(json.loads(explained)[0]["Plan"]))
    (terms,) = [node for node in plan if node.get("Subplan Name") == "CTE question_terms"]
    assert terms["Actual Rows"] == 2 * MAX_TERMS


@pytest.mark.parametrize("variant", ["plain", "sparse"])
async def test_unknown_words_of_a_long_question_displace_none_that_are_known(
    library: asyncpg.Connection, variant: str
) -> None:
    expected = await library.fetchval("SELECT lexeme FROM terms ORDER BY passages, lexeme LIMIT 1")
    unknown = " ".join(f"unheard{n}" for n in range(1000))
    rows = await search(library, variant, f"{unknown} {expected}")
    assert len(rows[0]["main_unknown"]) == MAX_TERMS
    passages = await library.fetch(
        "SELECT id FROM passages WHERE search @@ quote_literal($1::text)::tsquery", expected
    )
    assert {row["id"] for row in passages} <= {row["id"] for row in rows}


@pytest.mark.parametrize("allowed", [ALLOWED, MANY_ALLOWED], ids=["few", "many"])
@pytest.mark.parametrize("creator", [None, "c7", "c59"])
@pytest.mark.parametrize("variant", VARIANTS)
async def test_restricted_search_fills_each_tier_with_the_best_allowed_passages(
    library: asyncpg.Connection, variant: str, creator: str | None, allowed: list[str]
) -> None:
    # Words that all of the allowed creators use, so that the scores are the same.
    question = "w5 w12 w20"
    whole = await search(library, variant, question, creator, per_tier=5000)
    own = await search(library, variant, question, creator, allowed=allowed)
    assert {row["slug"] for row in own} <= set(allowed)
    tiers = {3} if creator not in allowed else {1, 2, 3}
    assert {row["tier"] for row in own} == tiers
    for tier in tiers:
        mine = [scored(row) for row in own if row["tier"] == tier]
        # The whole library's candidates include only some of the allowed ones.
        best = [scored(row) for row in whole if row["tier"] == tier and row["slug"] in allowed]
        assert len(mine) == 12
        assert all(
            score >= at_least - 1e-6 for (_, score), (_, at_least) in zip(mine, best, strict=False)
        )


@pytest.mark.parametrize("variant", VARIANTS)
async def test_terms_that_only_others_use_are_as_unknown_as_terms_of_nobody(
    library: asyncpg.Connection, variant: str
) -> None:
    hidden = await library.fetchval(
        """
        SELECT lexeme FROM terms WHERE NOT EXISTS (
            SELECT FROM passages JOIN creators c ON c.id = creator_id
            WHERE search @@ quote_literal(lexeme)::tsquery AND c.slug = ANY($1::text[])
        ) ORDER BY passages DESC, lexeme LIMIT 1
        """,
        ALLOWED,
    )
    results = [
        await search(library, variant, f"w12 w60 {word}", allowed=ALLOWED)
        for word in (hidden, "unheard")
    ]
    assert results[0][0]["main_unknown"] == [hidden]
    shown = ("id", "score", "coverage", "library_coverage", "idf")
    assert [[row[name] for name in shown] for row in results[0]] == [
        [row[name] for name in shown] for row in results[1]
    ]
