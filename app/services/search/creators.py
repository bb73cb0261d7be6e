"""List creators by a prefix of their name or slug."""

from app.infra.database import Connection
from app.schemas import CreatorEntry
from app.services.search.text import fold

# The number of creators in a list.
LIMIT = 50

# $1 folded prefix · $2 limit. An index can search for a range, but not for `starts_with` with a
# parameter. U+10FFFF is the last code point. If more creators match than are listed, the first
# names and the first slugs are.
CREATORS = """
SELECT slug, name, videos, pages
FROM (
    (SELECT * FROM creators
     WHERE name_key ~>=~ $1::text AND name_key ~<~ ($1::text || chr(1114111))
     ORDER BY name_key USING ~<~ LIMIT $2::bigint)
    UNION
    (SELECT * FROM creators
     WHERE slug ~>=~ $1::text AND slug ~<~ ($1::text || chr(1114111))
     ORDER BY slug USING ~<~ LIMIT $2::bigint)
) found
ORDER BY name_key, slug
LIMIT $2::bigint
"""

# $1 folded prefix · $2 limit · $3 slugs of the creators that the caller may read
ALLOWED_CREATORS = """
SELECT slug, name, videos, pages
FROM creators
WHERE slug = ANY($3::text[])
  AND (starts_with(name_key, $1::text) OR starts_with(slug, $1::text))
ORDER BY name_key, slug
LIMIT $2::bigint
"""


async def list_creators(
    connection: Connection, prefix: str, allowed_creators: tuple[str, ...] | None = None
) -> list[CreatorEntry]:
    """Return up to `LIMIT` creators whose name or slug starts with `prefix`, sorted by name.

    `allowed_creators` are the slugs of those that the caller may read, None for all.
    """
    if allowed_creators is None:
        rows = await connection.fetch(CREATORS, fold(prefix), LIMIT)
    else:
        rows = await connection.fetch(ALLOWED_CREATORS, fold(prefix), LIMIT, allowed_creators)
    return [CreatorEntry(**row) for row in rows]
