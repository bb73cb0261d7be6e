"""Calibrate the answerability classifiers on a library.

A fixed set of off-topic questions shows which scores the library gives to questions that it does
not answer, and so how much is enough for an answer.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct, ValidationError, json

from app.infra.database import Connection
from app.services.search.answerability import (
    DEPTH,
    AnswerabilityClassifier,
    CalibratedRegression,
    PassageScores,
    QuestionTraits,
    Regime,
    ranking_features,
    regime_of,
    semantic_features,
)
from app.services.search.calibration_questions import (
    foreign_questions,
    keyword_questions,
    off_topic_questions,
    words_of,
)
from app.services.search.embedding import Embedder
from app.services.search.plan import SearchPlan, execute_search, load_search_plan
from app.services.search.ranking import TIERS, passage_scores
from app.services.search.text import stems
from app.services.search.weights import WEIGHTS

Ranking: TypeAlias = Sequence[PassageScores]

# Shares of the off-topic questions to refuse, and to refuse without showing the closest passages.
# In practice, unanswerable questions are closer to the library than these.
REFUSED: dict[Regime, tuple[float, float]] = {
    "full": (0.97, 0.9),
    # Nearly all these consist of words that the library has.
    "short": (0.7, 0.5),
    "semantic": (0.93, 0.8),
}
# Questions always allowed through, because the highest scores in a small set are noise.
MIN_ALLOWED = 2
# Smaller libraries are not calibrated.
MIN_PASSAGES = 100
# Questions of a kind that must find anything.
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
MAIN_CONFIGURATION = """
SELECT language FROM passages GROUP BY language ORDER BY count(*) DESC, language LIMIT 1
"""
# $1 text search configuration · $2 stems
DOCUMENT_FREQUENCIES = """
SELECT lexeme, passages FROM terms WHERE language = $1 AND lexeme = ANY($2::text[])
"""
# $1 embedder · $2 passages · $3 the classifier as JSON
INSERT_CLASSIFIER = "INSERT INTO gates (embedder_id, passages, model) VALUES ($1, $2, $3::jsonb)"
# $1 the newest classifier to delete · $2 embedder
DELETE_OLDER = "DELETE FROM gates WHERE id <= $1 AND embedder_id IS NOT DISTINCT FROM $2"
NEWEST = "SELECT coalesce(max(id), 0) FROM gates"


class Calibration(Struct, frozen=True):
    """The number of the library's passages, and of the off-topic questions that were searched."""

    passages: int
    questions: int


class CalibrationQuestions(Struct, frozen=True):
    """Off-topic questions for a library with this number of passages.

    `foreign` are in other languages than the library's; `configuration` is the text search
    configuration of most passages.
    """

    passages: int
    own_language: list[str]
    foreign: list[str]
    configuration: str


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
    runs: list[tuple[int | None, Embedder | None, list[str]]] = [
        (None, None, questions.own_language)
    ]
    if plan.index and embedder:
        runs.append((plan.index.id, embedder, questions.own_language + questions.foreign))
    total = sum(len(texts) for _, _, texts in runs)
    newest = await connection.fetchval(NEWEST)
    done = 0
    calibrated = False
    for index, run_embedder, texts in runs:
        search = Searches(connection, plan, run_embedder, alpha, per_document)

        def progress(of_run: int, before: int = done) -> None:
            report(before + of_run, total)

        rankings = await search.run(texts, progress)
        classifier = calibrated_classifier(
            group_by_regime(texts, rankings, questions.configuration), hybrid=index is not None
        )
        if classifier is not None:
            model = json.encode(classifier).decode()
            await connection.execute(INSERT_CLASSIFIER, index, questions.passages, model)
            calibrated = True
        await connection.execute(DELETE_OLDER, newest, index)
        done += len(texts)
    report(total, total)
    return Calibration(questions.passages, total) if calibrated else None


def is_current(model: str) -> bool:
    """Return whether a stored classifier, as JSON, has the weights of this release."""
    try:
        stored = json.decode(model, type=AnswerabilityClassifier)
    except ValidationError:
        return False
    return stored.full.weights in (WEIGHTS.lexical, WEIGHTS.hybrid)


async def read_calibration_questions(connection: Connection) -> CalibrationQuestions:
    """Choose the questions by the languages of the library, and keywords by its words."""
    rows = await connection.fetch(PASSAGES_BY_LANGUAGE)
    passages = sum(row["passages"] for row in rows)
    languages = [
        row["language"] for row in rows if row["passages"] >= MIN_LANGUAGE_SHARE * passages
    ]
    configuration: str = await connection.fetchval(MAIN_CONFIGURATION) or "simple"
    whole = [one.question for one in off_topic_questions(languages)]
    lexemes = list(words_of(whole, configuration))
    frequencies = {
        row["lexeme"]: row["passages"]
        for row in await connection.fetch(DOCUMENT_FREQUENCIES, configuration, lexemes)
    }
    return CalibrationQuestions(
        passages=passages,
        own_language=whole + keyword_questions(whole[::2], frequencies, configuration),
        foreign=[one.question for one in foreign_questions(languages)],
        configuration=configuration,
    )


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


def group_by_regime(
    questions: Iterable[str], rankings: Iterable[Ranking], configuration: str
) -> dict[Regime, list[Ranking]]:
    """Group the rankings that are not empty by the regime of their questions."""
    grouped: dict[Regime, list[Ranking]] = defaultdict(list)
    for question, ranking in zip(questions, rankings, strict=True):
        if ranking:
            traits = QuestionTraits(len(set(stems(question, configuration))))
            grouped[regime_of(ranking, traits)].append(ranking)
    return grouped


def calibrated_classifier(
    off_topic: dict[Regime, list[Ranking]], *, hybrid: bool
) -> AnswerabilityClassifier | None:
    """Return a classifier that refuses the intended shares of the off-topic questions.

    Returns None if too few of them found anything.
    """
    weights = WEIGHTS.hybrid if hybrid else WEIGHTS.lexical
    if len(off_topic.get("full", [])) < MIN_EXAMPLES:
        # A small library lacks most words of most questions.
        off_topic = {**off_topic, "full": [one for group in off_topic.values() for one in group]}
    full = _calibrate("full", weights, off_topic)
    if full is None:
        return None
    scores = sorted(ranking[0].score for ranking in off_topic["full"])
    return AnswerabilityClassifier(
        full=full,
        floor=scores[-1 - allowed_through(REFUSED["full"][0], len(scores))],
        short=_calibrate("short", weights, off_topic),
        semantic=_calibrate("semantic", WEIGHTS.semantic, off_topic) if hybrid else None,
    )


def _calibrate(
    regime: Regime, weights: tuple[float, ...], off_topic: dict[Regime, list[Ranking]]
) -> CalibratedRegression | None:
    rankings = off_topic.get(regime, [])
    if len(rankings) < MIN_EXAMPLES:
        return None
    summarize = semantic_features if regime == "semantic" else ranking_features
    rows = [summarize(ranking) for ranking in rankings]
    means, scales = standardization(rows)
    unbiased = CalibratedRegression(weights, means, scales)
    logits = sorted(map(unbiased.logit, rows))
    refused, shown = REFUSED[regime]
    threshold = logits[-1 - allowed_through(refused, len(logits))]
    margin = threshold - logits[-1 - allowed_through(shown, len(logits))]
    return CalibratedRegression(weights, means, scales, -threshold, margin)


def allowed_through(refused: float, questions: int) -> int:
    """Return how many of the off-topic questions may be answered if a share is to be refused."""
    return min(questions - 1, max(MIN_ALLOWED, int((1 - refused) * questions)))


def standardization(
    rows: Sequence[Sequence[float]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the means and standard deviations of the columns; 1 for a constant column."""
    columns = list(zip(*rows, strict=True))
    means = [math.fsum(column) / len(column) for column in columns]
    deviations = [
        math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    # Rounding gives a constant feature a tiny deviation.
    return tuple(means), tuple(one if one > 1e-9 else 1.0 for one in deviations)
