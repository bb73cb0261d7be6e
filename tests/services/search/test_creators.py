"""The list of creators by prefix, in a library with many of them."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from app.infra.database import configure_connection
from app.schemas import CreatorEntry
from app.services.search.creators import ALLOWED_CREATORS, CREATORS, LIMIT, list_creators
from app.services.search.text import fold, slugify
from tests.servers import SharedServers

pytestmark = pytest.mark.anyio

NAMES = ["Zoë Tanaka", "Tomás Okafor", "王小明", "100% Mix", "Åsa"]


@pytest.fixture(scope="module")
async def library_url(anyio_backend: object, shared: SharedServers) -> AsyncIterator[str]:
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO creators (slug, name, name_key, videos, pages) VALUES ($1, $2, $3, 2, 1)",
        [(slugify(name), name, fold(name)) for name in NAMES],
    )
    await connection.execute(
        """
        INSERT INTO creators (slug, name, name_key)
        SELECT 'slug-' || n, md5(n::text), md5(n::text) FROM generate_series(1, 20000) n;
        ANALYZE creators
        """
    )
    await connection.close()
    yield url
    shared.drop_database(url)


@pytest.fixture
async def library(anyio_backend: object, library_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(library_url)
    await configure_connection(connection)
    yield connection
    await connection.close()


def slugs(found: list[CreatorEntry]) -> list[str]:
    return [one.slug for one in found]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def test_prefix_of_a_name_or_a_slug_finds_creators_with_their_holdings(
    library: asyncpg.Connection,
) -> None:
    for name in NAMES:
        found = await list_creators(library, name[:3].upper())
        assert name in [one.name for one in found]
    (zoe,) = await list_creators(library, "ZOE")
    assert (zoe.slug, zoe.videos, zoe.pages) == ("zoe-tanaka", 2, 1)
    expected = {"slug-1999", *(f"slug-1999{n}" for n in range(10))}
    assert set(slugs(await list_creators(library, "slug-1999"))) == expected
    assert await list_creators(library, "%") == []


async def test_list_is_sorted_by_name_and_limited(library: asyncpg.Connection) -> None:
    for prefix in ("", "a", "slug-"):
        found = await list_creators(library, prefix)
        assert len(found) == LIMIT
        assert slugs(found) == [
            row["slug"]
            for row in await library.fetch(
                "SELECT slug FROM creators WHERE slug = ANY($1::text[]) ORDER BY name_key, slug",
                slugs(found),
            )
        ]


async def test_restricted_caller_gets_allowed_creators_only(library: asyncpg.Connection) -> None:
    allowed = ("zoe-tanaka", "slug-7", "nobody")
    assert set(slugs(await list_creators(library, "", allowed))) == {"zoe-tanaka", "slug-7"}
    assert slugs(await list_creators(library, "zoë", allowed)) == ["zoe-tanaka"]
    assert slugs(await list_creators(library, "slug-7", allowed)) == ["slug-7"]
    assert await list_creators(library, "tom", allowed) == []
    assert await list_creators(library, "", ()) == []


@pytest.mark.parametrize(
    ("statement", "arguments", "indexes"),
    [
        (CREATORS, "'', 50", {"creators_name_key", "creators_slug"}),
        (ALLOWED_CREATORS, "'', 50, '{a,b}'", {"creators_slug_key"}),
    ],
)
async def test_query_plan_reads_only_the_creators_and_only_by_an_index(
    library: asyncpg.Connection, statement: str, arguments: str, indexes: set[str]
) -> None:
    await library.execute(f"PREPARE list AS {statement}")
    explained = await library.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE list ({arguments})")
    plan = list(nodes(json.loads(explained)[0]["Plan"]))
    assert {node["Relation Name"] for node in plan if "Relation Name" in node} == {"creators"}
    assert not [node for node in plan if node["Node Type"] == "Seq Scan"]
    assert {node["Index Name"] for node in plan if "Index Name" in node} == indexes
