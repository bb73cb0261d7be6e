"""Counts and weights follow the passages: only what is new is counted, until much has changed."""

import asyncpg
import pytest

from app.services.ingest.store.index import refresh, stale_languages
from app.services.ingest.store.write import drop_documents
from app.services.search.sql import K1
from tests.services.search.search_library import many_passages

pytestmark = pytest.mark.anyio

# What a search reads, but for how it came about.
TERMS = "SELECT language, lexeme, passages FROM terms ORDER BY 1, 2"
WEIGHTS = "SELECT id, weights::text FROM passages ORDER BY id"
LANGUAGE = "SELECT passages, stale, changed, counted_to, mean_length FROM languages"


@pytest.fixture
async def counted(database: asyncpg.Connection) -> asyncpg.Connection:
    """A database of 100 passages of three words each, counted and weighed."""
    await many_passages(database, 100)
    await refresh(database, ["english"], pgvector=True)
    return database


async def mark(database: asyncpg.Connection, changed: int, language: str = "english") -> None:
    """Say that so many passages came or went, as writing them does."""
    await database.execute(
        "INSERT INTO languages AS l (language, passages, stale, changed) VALUES ($1, 0, true, $2)"
        " ON CONFLICT (language) DO UPDATE SET stale = true, changed = l.changed + $2",
        *(language, changed),
    )


async def add(database: asyncpg.Connection, *texts: str) -> None:
    """Add passages to the document."""
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
    await mark(database, len(texts))


async def spread(database: asyncpg.Connection, lexeme: str) -> int | None:
    passages: int | None = await database.fetchval(
        "SELECT passages FROM terms WHERE language = 'english' AND lexeme = $1", lexeme
    )
    return passages


async def state(database: asyncpg.Connection) -> list[list[tuple[object, ...]]]:
    return [[tuple(row) for row in await database.fetch(sql)] for sql in (TERMS, WEIGHTS)]


async def test_what_is_counted_says_how_many_passages_have_a_word(
    counted: asyncpg.Connection,
) -> None:
    assert await spread(counted, "turn") == 100
    assert await spread(counted, "knob7") == 1
    row = await counted.fetchrow(LANGUAGE)
    assert row is not None
    last = await counted.fetchval("SELECT max(id) FROM passages")
    assert tuple(row) == (100, False, 0, last, 3.0)
    assert await stale_languages(counted) == set()


async def test_a_few_new_passages_are_added_to_the_counts_and_the_others_are_not_read(
    counted: asyncpg.Connection,
) -> None:
    # A false count shows whether all were counted anew.
    await counted.execute("UPDATE terms SET passages = 5000 WHERE lexeme = 'knob7'")
    await add(counted, "reverb turns sour", "reverb turns sweet")
    assert await stale_languages(counted) == {"english"}

    await refresh(counted, ["english"], pgvector=True)

    assert (await spread(counted, "turn"), await spread(counted, "reverb")) == (102, 2)
    assert await spread(counted, "knob7") == 5000
    assert await counted.fetchval("SELECT passages FROM languages") == 102


async def test_counts_that_were_added_to_are_those_of_a_full_count(
    counted: asyncpg.Connection,
) -> None:
    for texts in (["reverb turns sour", "knob7 again now"], ["one last reverb"]):
        await add(counted, *texts)
        await refresh(counted, ["english"], pgvector=True)
    by_parts = await state(counted)

    await counted.execute("DELETE FROM terms; UPDATE passages SET weights = NULL")
    await counted.execute("UPDATE languages SET counted_to = 0, mean_length = 3, stale = true")
    await refresh(counted, ["english"], pgvector=True)

    assert await state(counted) == by_parts


async def test_counts_are_made_anew_when_more_than_a_tenth_has_gone(
    counted: asyncpg.Connection,
) -> None:
    # Of those that are left, seven are no tenth, eleven are more.
    for gone, expected in [(7, 100), (11, 89)]:
        await counted.execute("DELETE FROM passages WHERE ordinal <= $1", gone)
        await counted.execute("UPDATE languages SET changed = 0")
        await mark(counted, gone)
        await refresh(counted, ["english"], pgvector=True)
        assert await spread(counted, "turn") == expected
    assert await spread(counted, "knob7") is None
    assert await counted.fetchval("SELECT changed FROM languages") == 0


async def test_what_goes_little_by_little_is_counted_at_last(counted: asyncpg.Connection) -> None:
    for ordinal in range(1, 10):
        await counted.execute("DELETE FROM passages WHERE ordinal = $1", ordinal)
        await mark(counted, 1)
        await refresh(counted, ["english"], pgvector=True)
        assert await spread(counted, "turn") == 100
    await counted.execute("DELETE FROM passages WHERE ordinal IN (10, 11)")
    await mark(counted, 2)
    await refresh(counted, ["english"], pgvector=True)
    assert await spread(counted, "turn") == 89


@pytest.mark.parametrize(("words", "anew"), [(9, False), (60, True)])
async def test_weights_are_made_anew_only_when_the_mean_length_has_moved(
    counted: asyncpg.Connection, words: int, anew: bool
) -> None:
    await counted.execute("UPDATE passages SET weights = '{}/268435456'")
    await add(counted, " ".join(f"word{n}" for n in range(words)))

    await refresh(counted, ["english"], pgvector=True)

    unweighed = await counted.fetchval(
        "SELECT count(*) FROM passages WHERE weights = '{}/268435456'"
    )
    assert unweighed == (0 if anew else 100)
    mean = await counted.fetchval("SELECT mean_length FROM languages")
    assert mean == pytest.approx((300 + words) / 101 if anew else 3)


async def test_a_weight_is_that_of_bm25(counted: asyncpg.Connection) -> None:
    await counted.execute(
        "UPDATE passages SET search = to_tsvector('english', 'hum hum hiss'), length = 3"
        " WHERE ordinal = 1; UPDATE languages SET mean_length = 0"
    )
    await refresh(counted, ["english"], pgvector=True)
    weight = await counted.fetchval(
        "SELECT -(weights <#> ('{' || place('hum') || ':1}/268435456')::sparsevec)"
        " FROM passages WHERE ordinal = 1"
    )
    # As long as the mean, so that B does not matter.
    assert weight == pytest.approx(2 * (K1 + 1) / (2 + K1), rel=1e-4)


async def test_a_language_that_is_gone_leaves_nothing(counted: asyncpg.Connection) -> None:
    library = await counted.fetchval("SELECT id FROM libraries")
    changed = await drop_documents(counted, library, ["many"])

    await refresh(counted, changed, pgvector=True)

    assert changed == {"english"}
    for table in ("languages", "terms", "passages", "passage_texts", "creators"):
        assert await counted.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608


async def test_other_languages_are_left_as_they_are(counted: asyncpg.Connection) -> None:
    await add(counted, "reverb turns sour")
    await mark(counted, 1, "german")
    await refresh(counted, ["german"], pgvector=True)
    assert await spread(counted, "reverb") is None
    assert await stale_languages(counted) == {"english"}


async def test_without_pgvector_the_mean_length_is_always_that_of_now(
    counted: asyncpg.Connection,
) -> None:
    await counted.execute("ALTER TABLE passages DROP COLUMN weights")
    await add(counted, "a kick drum needs air")
    await refresh(counted, ["english"], pgvector=False)
    mean = await counted.fetchval("SELECT mean_length FROM languages")
    assert mean == pytest.approx(304 / 101)
