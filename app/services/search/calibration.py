"""Calibrate the answerability classifiers on a library.

A fixed set of off-topic questions shows which scores the library gives to questions that it does
not answer, and so how much is enough for an answer.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct, ValidationError, json

from app.infra.database import Connection
from app.services.search.answerability import DEPTH, AnswerabilityClassifier, PassageScores
from app.services.search.calibration_questions import (
    CalibrationQuestions,
    read_calibration_questions,
)
from app.services.search.embedding import Embedder
from app.services.search.plan import SearchPlan, execute_search, load_search_plan
from app.services.search.ranking import TIERS, passage_scores
from app.services.search.sql import EmbeddingIndex
from app.services.search.thresholds import calibrated_classifier, group_by_regime
from app.services.search.weights import WEIGHTS

# Smaller libraries are not calibrated.
MIN_PASSAGES = 100
# Questions embedded at once.
BATCH = 64

# $1 embedder · $2 passages · $3 the classifier as JSON
INSERT_CLASSIFIER = "INSERT INTO gates (embedder_id, passages, model) VALUES ($1, $2, $3::jsonb)"
# $1 the newest classifier to delete · $2 embedder
DELETE_OLDER = "DELETE FROM gates WHERE id <= $1 AND embedder_id IS NOT DISTINCT FROM $2"
NEWEST = "SELECT coalesce(max(id), 0) FROM gates"


class Calibration(Struct, frozen=True):
    """The number of the library's passages, and of the off-topic questions that were searched."""

    passages: int
    questions: int


async def calibrate(
    connection: Connection,
    embedder: Embedder | None,
    *,
    pgvector: bool,
    alpha: float,
    per_document: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration | None:
    """Calibrate and store the library's classifiers; return None if the library is too small.

    `report` is called with the number of questions searched and their total. Raises
    EmbeddingFailed.
    """
    questions = await read_calibration_questions(connection)
    if questions.passages < MIN_PASSAGES:
        return None
    plan = await load_search_plan(
        connection, embedder.name if embedder else None, pgvector=pgvector, warn=False
    )
    indexes: list[EmbeddingIndex | None] = [None]
    if plan.index and embedder:
        indexes.append(plan.index)
    total = sum(len(_texts(questions, index)) for index in indexes)
    newest = await connection.fetchval(NEWEST)
    done = 0
    calibrated = False
    for index in indexes:
        texts = _texts(questions, index)

        def progress(of_run: int, before: int = done) -> None:
            report(before + of_run, total)

        searches = Searches(connection, plan, embedder if index else None, alpha, per_document)
        rankings = await searches.run(texts, progress)
        classifier = calibrated_classifier(
            group_by_regime(texts, rankings, questions.configuration), hybrid=index is not None
        )
        if classifier is not None:
            await _store(connection, classifier, index, questions.passages)
            calibrated = True
        await connection.execute(DELETE_OLDER, newest, index and index.id)
        done += len(texts)
    report(total, total)
    return Calibration(questions.passages, total) if calibrated else None


def _texts(questions: CalibrationQuestions, index: EmbeddingIndex | None) -> list[str]:
    # In lexical search, questions in other languages find nothing.
    return questions.own_language + (questions.foreign if index else [])


async def _store(
    connection: Connection,
    classifier: AnswerabilityClassifier,
    index: EmbeddingIndex | None,
    passages: int,
) -> None:
    model = json.encode(classifier).decode()
    await connection.execute(INSERT_CLASSIFIER, index and index.id, passages, model)


def is_current(model: str) -> bool:
    """Return whether a stored classifier, as JSON, has the weights of this release."""
    try:
        stored = json.decode(model, type=AnswerabilityClassifier)
    except ValidationError:
        return False
    return stored.full.weights in (WEIGHTS.lexical, WEIGHTS.hybrid)


class Searches(Struct, frozen=True):
    """Searches the whole library; without an embedder, the search is lexical."""

    connection: Connection
    plan: SearchPlan
    embedder: Embedder | None
    alpha: float
    per_document: int

    async def run(
        self, questions: Sequence[str], progress: Callable[[int], None]
    ) -> list[list[PassageScores]]:
        """Return the scores of the passages found for each question, best first."""
        rankings: list[list[PassageScores]] = []
        for start in range(0, len(questions), BATCH):
            progress(start)
            batch = questions[start : start + BATCH]
            vectors: Sequence[Sequence[float]] = [()] * len(batch)
            if self.embedder is not None:
                vectors = await self.embedder.embed_questions(batch)
            for question, vector in zip(batch, vectors, strict=True):
                rankings.append(await self._search(question, vector))
        return rankings

    async def _search(self, question: str, embedding: Sequence[float]) -> list[PassageScores]:
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
        return [passage_scores(row) for row in rows if row["tier"] == whole_library]
