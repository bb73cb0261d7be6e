"""Word counts and BM25 weights after passages change."""

import asyncpg
import pytest

from app.services.ingest.store.documents import delete_documents
from app.services.ingest.store.term_statistics import refresh_statistics, stale_languages
from app.services.search.sql import K1
from tests.services.search.search_library import many_passages

pytestmark = pytest.mark.anyio

TERMS = "SELECT language, lexeme, passages FROM terms ORDER BY 1, 2"
WEIGHTS = "SELECT id, weights::text FROM passages ORDER BY id"
LANGUAGE = "SELECT passages, stale, changed, counted_to, mean_length FROM languages"


@pytest.fixture
async def counted(database: asyncpg.Connection) -> asyncpg.Connection:
    """A database with the statistics of 100 passages of three words each."""
    await many_passages(database, 100)
    await refresh_statistics(database, ["english"], pgvector=True)
    return database


async def record_changes(
    database: asyncpg.Connection, changed: int, language: str = "english"
) -> None:
    """Record changed passages, as writing documents does."""
    await database.execute(
        "INSERT INTO languages AS l (language, passages, stale, changed) VALUES ($1, 0, true, $2)"
        " ON CONFLICT (language) DO UPDATE SET stale = true, changed = l.changed + $2",
        *(language, changed),
    )


async def add(database: asyncpg.Connection, *texts: str) -> None:
    """Add passages to the only document."""
    for text in texts:
        await database.execute(
            "INSERT INTO passages (document_id, creator_id, ordinal, language, search, length)"
            " SELECT d.id, d.creator_id, max(p.ordinal) + 1, 'english', s.search,"
            "        words_in(s.search)"
            " FROM documents d JOIN passages p ON p.document_id = d.id,"
            "      to_tsvector('english', $1) AS s (search)"
            " GROUP BY d.id, s.search",
            text,
        )
    await record_changes(database, len(texts))


async def document_frequency(database: asyncpg.Connection, lexeme: str) -> int | None:
    passages: int | None = await database.fetchval(
        "SELECT passages FROM terms WHERE language = 'english' AND lexeme = $1", lexeme
    )
    return passages


async def state(database: asyncpg.Connection) -> list[list[tuple[object, ...]]]:
    return [[tuple(row) for row in await database.fetch(sql)] for sql in (TERMS, WEIGHTS)]


async def test_terms_count_the_passages_that_have_a_word(
    counted: asyncpg.Connection,
) -> None:
    assert await document_frequency(counted, "turn") == 100
    assert await document_frequency(counted, "knob7") == 1
    row = await counted.fetchrow(LANGUAGE)
    assert row is not None
    last = await counted.fetchval("SELECT max(id) FROM passages")
    assert tuple(row) == (100, False, 0, last, 3.0)
    assert await stale_languages(counted) == set()


async def test_new_passages_are_added_without_counting_the_others_again(
    counted: asyncpg.Connection,
) -> None:
    # A full count would correct this one.
    await counted.execute("UPDATE terms SET passages = 5000 WHERE lexeme = 'knob7'")
    await add(counted, "reverb turns sour", "reverb turns sweet")
    assert await stale_languages(counted) == {"english"}

    await refresh_statistics(counted, ["english"], pgvector=True)

    assert (
        await document_frequency(counted, "turn"),
        await document_frequency(counted, "reverb"),
    ) == (102, 2)
    assert await document_frequency(counted, "knob7") == 5000
    assert await counted.fetchval("SELECT passages FROM languages") == 102


async def test_incremental_counts_equal_a_full_count(
    counted: asyncpg.Connection,
) -> None:
    for texts in (["reverb turns sour", "knob7 again now"], ["one last reverb"]):
        await add(counted, *texts)
        await refresh_statistics(counted, ["english"], pgvector=True)
    incremental = await state(counted)

    await counted.execute("DELETE FROM terms; UPDATE passages SET weights = NULL")
    await counted.execute("UPDATE languages SET counted_to = 0, mean_length = 3, stale = true")
    await refresh_statistics(counted, ["english"], pgvector=True)

    assert await state(counted) == incremental


async def test_everything_is_counted_again_when_more_than_a_tenth_is_deleted(
    counted: asyncpg.Connection,
) -> None:
    # Seven are less than a tenth of those that remain, eleven are more.
    for deleted, expected in [(7, 100), (11, 89)]:
        await counted.execute("DELETE FROM passages WHERE ordinal <= $1", deleted)
        await counted.execute("UPDATE languages SET changed = 0")
        await record_changes(counted, deleted)
        await refresh_statistics(counted, ["english"], pgvector=True)
        assert await document_frequency(counted, "turn") == expected
    assert await document_frequency(counted, "knob7") is None
    assert await counted.fetchval("SELECT changed FROM languages") == 0


async def test_small_deletions_add_up_to_a_full_count(counted: asyncpg.Connection) -> None:
    for ordinal in range(1, 10):
        await counted.execute("DELETE FROM passages WHERE ordinal = $1", ordinal)
        await record_changes(counted, 1)
        await refresh_statistics(counted, ["english"], pgvector=True)
        assert await document_frequency(counted, "turn") == 100
    await counted.execute("DELETE FROM passages WHERE ordinal IN (10, 11)")
    await record_changes(counted, 2)
    await refresh_statistics(counted, ["english"], pgvector=True)
    assert await document_frequency(counted, "turn") == 89


@pytest.mark.parametrize(("words", "recomputed"), [(9, False), (60, True)])
async def test_weights_are_recomputed_only_when_the_mean_length_has_changed(
    counted: asyncpg.Connection, words: int, recomputed: bool
) -> None:
    await counted.execute("UPDATE passages SET weights = '{}/268435456'")
    await add(counted, " ".join(f"word{n}" for n in range(words)))

    await refresh_statistics(counted, ["english"], pgvector=True)

    unchanged = await counted.fetchval(
        "SELECT count(*) FROM passages WHERE weights = '{}/268435456'"
    )
    assert unchanged == (0 if recomputed else 100)
    mean = await counted.fetchval("SELECT mean_length FROM languages")
    assert mean == pytest.approx((300 + words) / 101 if recomputed else 3)


async def test_weight_follows_bm25(counted: asyncpg.Connection) -> None:
    await counted.execute(
        "UPDATE passages SET search = to_tsvector('english', 'hum hum hiss'), length = 3"
        " WHERE ordinal = 1; UPDATE languages SET mean_length = 0"
    )
    await refresh_statistics(counted, ["english"], pgvector=True)
    weight = await counted.fetchval(
        "SELECT -(weights <#> ('{' || place('hum') || ':1}/268435456')::sparsevec)"
        " FROM passages WHERE ordinal = 1"
    )
    # The length equals the mean, so b has no effect.
    assert weight == pytest.approx(2 * (K1 + 1) / (2 + K1), rel=1e-4)


async def test_language_without_passages_is_deleted(counted: asyncpg.Connection) -> None:
    library = await counted.fetchval("SELECT id FROM libraries")
    changed = await delete_documents(counted, library, ["many"])

    await refresh_statistics(counted, changed, pgvector=True)

    assert changed == {"english"}
    for table in ("languages", "terms", "passages", "passage_texts", "creators"):
        assert await counted.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608


async def test_other_languages_are_not_refreshed(counted: asyncpg.Connection) -> None:
    await add(counted, "reverb turns sour")
    await record_changes(counted, 1, "german")
    await refresh_statistics(counted, ["german"], pgvector=True)
    assert await document_frequency(counted, "reverb") is None
    assert await stale_languages(counted) == {"english"}


async def test_mean_length_is_always_current_without_pgvector(
    counted: asyncpg.Connection,
) -> None:
    await counted.execute("ALTER TABLE passages DROP COLUMN weights")
    await add(counted, "a kick drum needs air")
    await refresh_statistics(counted, ["english"], pgvector=False)
    mean = await counted.fetchval("SELECT mean_length FROM languages")
    assert mean == pytest.approx(304 / 101)
