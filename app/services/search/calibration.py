"""Fit the answerability classifiers to a library.

Positive examples are questions made from the library's own sentences; negative examples are a fixed
set of off-topic questions.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from app.infra.database import Connection
from app.schemas import Sentence
from app.services.search.answerability import (
    DEPTH,
    AnswerabilityClassifier,
    PassageScores,
    ranking_features,
    semantic_features,
)
from app.services.search.calibration_questions import QUESTIONS, off_topic_questions, own_questions
from app.services.search.embedding import Embedder
from app.services.search.logistic_regression import fit
from app.services.search.plan import SearchPlan, execute_search, load_search_plan
from app.services.search.ranking import TIERS, passage_scores
from app.services.search.sql import EmbeddingIndex

_SENTENCES = msgspec.json.Decoder(tuple[Sentence, ...])

# The share of off-topic questions to refuse. It is higher than the share that should be refused in
# practice, where unanswerable questions are closer to the library than these.
REFUSED = 0.98
# Questions always allowed through, because the highest scores in a small set are noise.
MIN_ALLOWED = 2
# Smaller libraries are not calibrated.
MIN_PASSAGES = 100
# Questions of each kind that must find anything.
MIN_EXAMPLES = 20
# A language with a smaller share of the passages gets no off-topic questions.
MIN_LANGUAGE_SHARE = 0.1
# Questions embedded at once.
BATCH = 64

PASSAGES_BY_LANGUAGE = """
SELECT split_part(d.language, '-', 1) AS language, count(*) AS passages
FROM passages p JOIN documents d ON d.id = p.document_id
GROUP BY 1 ORDER BY 2 DESC
"""
# $1 how many; the same arbitrary passages each time
SAMPLE_PASSAGES = """
SELECT sentences::text FROM passage_texts ORDER BY md5(passage_id::text) LIMIT $1
"""
CENTROID = "SELECT avg(embedding::vector)::real[] FROM {table}"
# $1 embedder · $2 passages · $3 the classifier as JSON
INSERT_CLASSIFIER = "INSERT INTO gates (embedder_id, passages, model) VALUES ($1, $2, $3::jsonb)"
# $1 the newest classifier to delete · $2 embedder
DELETE_OLDER = "DELETE FROM gates WHERE id <= $1 AND embedder_id IS NOT DISTINCT FROM $2"
NEWEST = "SELECT coalesce(max(id), 0) FROM gates"


class Calibration(Struct, frozen=True):
    """How many passages the library has, and how many questions of each kind were used."""

    passages: int
    own_questions: int
    off_topic_questions: int


class Example(Struct, frozen=True):
    """A question's embedding and the scores of the passages found for it, best first."""

    ranking: list[PassageScores]
    embedding: Sequence[float]


async def calibrate(
    connection: Connection,
    embedder: Embedder | None,
    *,
    pgvector: bool,
    alpha: float,
    per_document: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration | None:
    """Fit and store the library's classifiers; return None if the library is too small.

    `report` is called with the number of questions searched and their total. Raises
    EmbeddingFailed.
    """
    languages = await connection.fetch(PASSAGES_BY_LANGUAGE)
    passages = sum(row["passages"] for row in languages)
    if passages < MIN_PASSAGES:
        return None
    plan = await load_search_plan(
        connection, embedder.name if embedder else None, pgvector=pgvector
    )
    off_topic = off_topic_questions(
        [row["language"] for row in languages if row["passages"] >= MIN_LANGUAGE_SHARE * passages]
    )
    sample = await connection.fetch(SAMPLE_PASSAGES, 4 * QUESTIONS)
    own = own_questions([_SENTENCES.decode(row["sentences"]) for row in sample])
    questions = [*own, *(one.question for one in off_topic)]
    indexes = [None, plan.index] if plan.index and embedder else [None]
    total = len(indexes) * len(questions)
    newest = await connection.fetchval(NEWEST)
    runner = _ExampleRunner(connection, plan, embedder, alpha, per_document)
    fitted = False
    for number, index in enumerate(indexes):

        def progress(done: int, before: int = number * len(questions)) -> None:
            report(before + done, total)

        hybrid, semantic = await runner.run(questions, progress, embed=index is not None)
        classifier = await _fit_for(connection, index, hybrid, semantic, len(own))
        if classifier is not None:
            model = msgspec.json.encode(classifier).decode()
            await connection.execute(INSERT_CLASSIFIER, index and index.id, passages, model)
            fitted = True
        await connection.execute(DELETE_OLDER, newest, index and index.id)
    report(total, total)
    return Calibration(passages, len(own), len(off_topic)) if fitted else None


async def _fit_for(
    connection: Connection,
    index: EmbeddingIndex | None,
    examples: Sequence[Example],
    semantic: Sequence[Example],
    own: int,
) -> AnswerabilityClassifier | None:
    """Fit the classifier of one index, None for lexical search; the first `own` are answered."""
    if index is None:
        return fit_classifier(examples[:own], examples[own:], ())
    centroid = await connection.fetchval(CENTROID.format(table=index.table))
    if not centroid:
        return None
    classifier = fit_classifier(examples[:own], examples[own:], centroid)
    return classifier and replace(
        classifier,
        semantic=fit_classifier(semantic[:own], semantic[own:], centroid, semantic_features),
    )


class _ExampleRunner(Struct, frozen=True):
    connection: Connection
    plan: SearchPlan
    embedder: Embedder | None
    alpha: float
    per_document: int

    async def run(
        self, questions: Sequence[str], progress: Callable[[int], None], *, embed: bool
    ) -> tuple[list[Example], list[Example]]:
        """Return the results for each question, and with `embed` those by embedding alone."""
        examples: list[Example] = []
        semantic: list[Example] = []
        for start in range(0, len(questions), BATCH):
            progress(start)
            batch = questions[start : start + BATCH]
            if not embed or self.embedder is None:
                examples += [await self._search(question, ()) for question in batch]
                continue
            vectors = await self.embedder.embed_questions(batch)
            for question, vector in zip(batch, vectors, strict=True):
                examples.append(await self._search(question, vector))
                semantic.append(await self._search("", vector))
        return examples, semantic

    async def _search(self, question: str, embedding: Sequence[float]) -> Example:
        rows = await execute_search(
            self.connection,
            self.plan,
            question,
            embedding=embedding,
            alpha=self.alpha,
            per_document=self.per_document,
            per_tier=DEPTH,
        )
        whole_library = len(TIERS)
        return Example(
            [passage_scores(row) for row in rows if row["tier"] == whole_library], embedding
        )


def fit_classifier(
    own: Sequence[Example],
    off_topic: Sequence[Example],
    centroid: Sequence[float],
    features: Callable[[Sequence[PassageScores], float], Sequence[float]] = ranking_features,
) -> AnswerabilityClassifier | None:
    """Fit a classifier that refuses a share of REFUSED of the off-topic questions.

    Returns None if too few questions of either kind found anything.
    """
    unfitted = AnswerabilityClassifier((), (), (), 0.0, 0.0, tuple(centroid))

    def vectors(examples: Iterable[Example]) -> list[Sequence[float]]:
        found = (one for one in examples if one.ranking)
        return [features(one.ranking, unfitted.centroid_similarity(one.embedding)) for one in found]

    positive, negative = vectors(own), vectors(off_topic)
    if min(len(positive), len(negative)) < MIN_EXAMPLES:
        return None
    means, scales, weights = fit(positive, negative)
    unbiased = replace(unfitted, means=means, scales=scales, weights=weights)
    # Questions that found nothing are refused anyway, so they count towards the share.
    allowed = max(MIN_ALLOWED, int((1 - REFUSED) * len(off_topic)))
    logits = sorted(map(unbiased.logit, negative))
    scores = sorted(one.ranking[0].score for one in off_topic if one.ranking)
    return replace(
        unbiased,
        bias=-logits[-1 - min(allowed, len(logits) - 1)],
        floor=scores[-1 - min(allowed, len(scores) - 1)],
    )
