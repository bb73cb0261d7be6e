"""Search plan: the statements, embedding index and classifiers to search the library with."""

import logging
from collections.abc import Mapping, Sequence

import asyncpg
import msgspec
from msgspec import Struct

from app.infra.database import Connection
from app.services.search.answerability import (
    DEFAULT_LEXICAL,
    AnswerabilityClassifier,
    default_hybrid,
)
from app.services.search.sql import EmbeddingIndex, search_statement
from app.services.search.text import fold, has_content_words, segment, slugify

log = logging.getLogger(__name__)

INDEXES = "SELECT id, name, dimension FROM embedders WHERE complete ORDER BY id"
NEWEST_CLASSIFIERS = """
SELECT DISTINCT ON (embedder_id) id, embedder_id, model::text FROM gates
ORDER BY embedder_id, id DESC
"""
# The primary language subtags of at least a tenth of the passages, the most frequent first.
_LANGUAGES = """
SELECT language FROM (
    SELECT CASE tag WHEN 'nb' THEN 'no' WHEN 'nn' THEN 'no' ELSE tag END AS language,
           count(*) AS passages, sum(count(*)) OVER () AS total
    FROM passages p
    JOIN documents d ON d.id = p.document_id
    CROSS JOIN LATERAL lower(split_part(replace(d.language, '_', '-'), '-', 1)) AS tag
    {where}GROUP BY 1
) counted
WHERE 10 * passages >= total
ORDER BY passages DESC, language
"""
LANGUAGES = _LANGUAGES.format(where="")
# $1 slugs of the only creators whose passages count
ALLOWED_LANGUAGES = _LANGUAGES.format(
    where="""WHERE p.creator_id = ANY(ARRAY(SELECT id FROM creators WHERE slug = ANY($1::text[])))
    """
)


class SearchPlan(Struct, frozen=True):
    """How to search: lexical and, with an embedding index, hybrid.

    `languages` are the primary language subtags of at least a tenth of the passages, the most
    frequent first. `version` identifies the indexes and classifiers in the database that the plan
    was made for.
    """

    version: tuple[str | None, int | None]
    index: EmbeddingIndex | None
    lexical_sql: str
    hybrid_sql: str | None
    restricted_lexical_sql: str
    restricted_hybrid_sql: str | None
    lexical_classifier: AnswerabilityClassifier
    hybrid_classifier: AnswerabilityClassifier
    languages: tuple[str, ...]

    def is_stale(self, row: asyncpg.Record) -> bool:
        """Return whether a result row shows that indexes or classifiers have changed."""
        return self.version != (row["indexes"], row["classifier_id"])

    def is_hybrid(self, embedding: Sequence[float]) -> bool:
        """Return whether the search for a question with this embedding is hybrid."""
        return self.index is not None and len(embedding) == self.index.dimension


async def load_search_plan(
    connection: Connection, embedder: str | None, *, pgvector: bool, warn: bool = True
) -> SearchPlan:
    """Make the plan for an embedder of this name from what the database holds.

    `warn` logs what is missing for the best search.
    """
    rows = await connection.fetch(INDEXES)
    known = [EmbeddingIndex(**row) for row in rows]
    index = next((one for one in known if pgvector and one.name == embedder), None)
    if warn and embedder and pgvector and index is None:
        log.warning(
            "lexical search only: the library has %s; run `python -m app reindex` to embed it"
            " with %s",
            f"only embeddings by {known[-1].name}" if known else "no embeddings",
            embedder,
        )
    stored = await connection.fetch(NEWEST_CLASSIFIERS)
    models: Mapping[int | None, str] = {row["embedder_id"]: row["model"] for row in stored}
    lexical = _classifier(models.get(None), DEFAULT_LEXICAL)
    hybrid_default = default_hybrid(index.name if index else None)
    hybrid = _classifier(models.get(index.id) if index else None, hybrid_default)
    if warn and None in (lexical, hybrid):
        log.warning(
            "using the default answerability classifier: the stored one is from another release;"
            " run `python -m app calibrate`"
        )
    return SearchPlan(
        version=(
            ",".join(str(row["id"]) for row in rows) or None,
            max((row["id"] for row in stored), default=None),
        ),
        index=index,
        lexical_sql=search_statement(pgvector=pgvector, index=None),
        hybrid_sql=search_statement(pgvector=pgvector, index=index) if index else None,
        restricted_lexical_sql=search_statement(pgvector=pgvector, index=None, restricted=True),
        restricted_hybrid_sql=(
            search_statement(pgvector=pgvector, index=index, restricted=True) if index else None
        ),
        lexical_classifier=lexical or DEFAULT_LEXICAL,
        hybrid_classifier=hybrid or hybrid_default,
        languages=tuple(row["language"] for row in await connection.fetch(LANGUAGES)),
    )


def _classifier(
    model: str | None, default: AnswerabilityClassifier
) -> AnswerabilityClassifier | None:
    """Decode a stored classifier, `default` if there is none; None if it is of another form."""
    if model is None:
        return default
    try:
        classifier = msgspec.json.decode(model, type=AnswerabilityClassifier)
    except msgspec.ValidationError:
        return None
    same_features = len(classifier.full.weights) == len(default.full.weights)
    return classifier if same_features else None


async def execute_search(
    connection: Connection,
    plan: SearchPlan,
    question: str,
    creator: str | None = None,
    *,
    embedding: Sequence[float],
    alpha: float,
    per_document: int,
    per_tier: int,
    allowed_creators: tuple[str, ...] | None = None,
) -> list[asyncpg.Record]:
    """Search for a question; the search is hybrid if the plan can use its embedding.

    `allowed_creators` are the slugs of the only creators to read, None for all. Each row is a
    passage in a tier, best first. If nothing is found, there is one row without.
    """
    # A question of stop words only would match every passage.
    query = segment(question) if has_content_words(question) else ""
    slug, name = (slugify(creator), fold(creator)) if creator else (None, None)
    arguments: list[object] = [query, slug, name, per_document, per_tier]
    lexical_sql, hybrid_sql = plan.lexical_sql, plan.hybrid_sql
    allowed: list[object] = []
    if allowed_creators is not None:
        lexical_sql, hybrid_sql = plan.restricted_lexical_sql, plan.restricted_hybrid_sql
        allowed = [allowed_creators]
    if hybrid_sql is None or not plan.is_hybrid(embedding):
        return await connection.fetch(lexical_sql, *arguments, *allowed)
    # pgvector's text format is also JSON, and this takes a tenth of the time of `repr`.
    vector = msgspec.json.encode(embedding).decode()
    return await connection.fetch(hybrid_sql, *arguments, vector, alpha, *allowed)
