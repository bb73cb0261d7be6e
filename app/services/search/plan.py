"""What the database holds comes in; how it is to be searched goes out."""

import logging
from collections.abc import Mapping, Sequence

import asyncpg
import msgspec
from msgspec import Struct

from app.infra.database import Connection
from app.services.search.answerability import (
    DEFAULT_HYBRID,
    DEFAULT_LEXICAL,
    AnswerabilityClassifier,
    PassageScores,
)
from app.services.search.sql import EmbeddingIndex, search_statement
from app.services.search.text import fold, keys, slugify, spaced

log = logging.getLogger(__name__)

INDEXES = "SELECT id, name, dimension FROM embedders WHERE complete ORDER BY id"
# The newest of each.
GATES = """
SELECT DISTINCT ON (embedder_id) id, embedder_id, model::text FROM gates
ORDER BY embedder_id, id DESC
"""


class SearchPlan(Struct, frozen=True):
    """How to search: by words alone, and, where there is an index of embeddings, by both.

    `state` is what the statement tells of the database: where it is another, the plan is old.
    """

    state: tuple[str | None, int | None]
    index: EmbeddingIndex | None
    lexical: str
    hybrid: str | None
    lexical_gate: AnswerabilityClassifier
    hybrid_gate: AnswerabilityClassifier

    def is_old(self, row: asyncpg.Record) -> bool:
        """Tell whether the database holds other indexes or gates than this was made for."""
        return self.state != (row["indexes"], row["gate_id"])

    def compares(self, embedding: Sequence[float]) -> bool:
        """Tell whether a question's embedding can be held against those of the index."""
        return self.index is not None and len(embedding) == self.index.dimension


async def load_search_plan(
    connection: Connection, embedder: str | None, *, pgvector: bool
) -> SearchPlan:
    """Look what there is for an embedder of this name."""
    rows = await connection.fetch(INDEXES)
    known = [EmbeddingIndex(**row) for row in rows]
    index = next((one for one in known if pgvector and one.name == embedder), None)
    if embedder and pgvector and index is None:
        log.warning(
            "the library has %s: search goes by words alone until `python -m app reindex` has"
            " embedded it by %s",
            f"embeddings by {known[-1].name} only" if known else "no embeddings yet",
            embedder,
        )
    kept = await connection.fetch(GATES)
    models: Mapping[int | None, str] = {row["embedder_id"]: row["model"] for row in kept}
    return SearchPlan(
        state=(
            ",".join(str(row["id"]) for row in rows) or None,
            max((row["id"] for row in kept), default=None),
        ),
        index=index,
        lexical=search_statement(pgvector=pgvector, index=None),
        hybrid=search_statement(pgvector=pgvector, index=index) if index else None,
        lexical_gate=_gate(models.get(None), DEFAULT_LEXICAL),
        hybrid_gate=_gate(models.get(index.id) if index else None, DEFAULT_HYBRID),
    )


def _gate(model: str | None, default: AnswerabilityClassifier) -> AnswerabilityClassifier:
    """Decode a gate; the default for one that is not there, or that another release has learned."""
    if model is None:
        return default
    try:
        gate = msgspec.json.decode(model, type=AnswerabilityClassifier)
    except msgspec.ValidationError:
        gate = None
    if gate is None or len(gate.weights) != len(default.weights):
        log.warning("the library's gate is another release's: run `python -m app calibrate`")
        return default
    return gate


async def ask(
    connection: Connection,
    plan: SearchPlan,
    question: str,
    creator: str | None = None,
    *,
    embedding: Sequence[float],
    alpha: float,
    per_document: int,
    most: int,
) -> list[asyncpg.Record]:
    """Run the statement for a question: by words alone where its embedding is of no use.

    Each row is a passage of a tier, best first; in any case there is one row.
    """
    # Words of grammar alone ask for nothing, and every passage has them.
    words = spaced(question) if is_asking(question) else ""
    slug, name = (slugify(creator), fold(creator)) if creator else (None, None)
    arguments: list[object] = [words, slug, name, per_document, most]
    if plan.hybrid is None or not plan.compares(embedding):
        return await connection.fetch(plan.lexical, *arguments)
    # The way pgvector writes vectors is JSON's too, and this is a tenth of the work of `repr`.
    vector = msgspec.json.encode(embedding).decode()
    return await connection.fetch(plan.hybrid, *arguments, vector, alpha)


def is_asking(question: str) -> bool:
    """Tell whether a question has any word with a subject of its own."""
    return bool(keys(question, "simple"))


def passage_scores(row: asyncpg.Record) -> PassageScores:
    """Read what the gate looks at."""
    return PassageScores(
        row["score"], row["lexical"], row["cosine"], row["coverage"], row["known"], row["worth"]
    )
