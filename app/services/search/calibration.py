"""A library comes in; the gates that tell when it has nothing on a question go out.

No library has questions with known answers. So for those that it answers, sentences of its own are
taken, with some words left out and others put between; for those that it does not, a fixed set of
questions about everything else.
"""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from itertools import groupby

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from app.infra.database import Connection
from app.schemas import Sentence
from app.services.search.answerability import (
    DEPTH,
    AnswerabilityClassifier,
    PassageScores,
    features,
    fit,
    nearness,
)
from app.services.search.embedding import Embedder
from app.services.search.plan import SearchPlan, ask, is_asking, load_search_plan, passage_scores
from app.services.search.text import STOP_WORDS, unspaced

FOREIGN = "off_topic_questions.tsv"
# The part of the foreign questions that is to be refused. What others ask lies nearer to a
# library than these do, so it is more than one would have it be in the end.
REFUSED = 0.98
# Where there are few of them, so many are let pass: the highest are chance.
MIN_SPARED = 2
# Questions of each kind and language; passages below which there is too little to learn from.
QUESTIONS = 300
MIN_PASSAGES = 100
# Of either kind, so many questions must have found anything.
MIN_FOUND = 20
# The part of a sentence's words that a question keeps, and of a question's that are not of it.
KEPT, NOISE = 0.65, 0.35
# Questions that are embedded at once.
BATCH = 64
# How many words of a sentence a question is made of at most.
LONGEST = 20

# In what languages there is how much.
LANGUAGES = """
SELECT split_part(d.language, '-', 1) AS language, count(*) AS passages
FROM passages p JOIN documents d ON d.id = p.document_id
GROUP BY 1 ORDER BY 2 DESC
"""
# $1 how many; any, but the same ones each time
SOME_PASSAGES = """
SELECT sentences::text FROM passage_texts ORDER BY md5(passage_id::text) LIMIT $1
"""
CENTROID = "SELECT avg(embedding::vector)::real[] FROM {table}"
# $1 embedder · $2 passages · $3 the model
KEEP = "INSERT INTO gates (embedder_id, passages, model) VALUES ($1, $2, $3::jsonb)"
# $1 the newest before · $2 embedder; those of other embedders go with their embeddings
DROP_OLDER = "DELETE FROM gates WHERE id <= $1 AND embedder_id IS NOT DISTINCT FROM $2"
NEWEST = "SELECT coalesce(max(id), 0) FROM gates"


class OffTopicQuestion(Struct, frozen=True):
    """A question about something else: the field of knowledge it is from, and its words."""

    language: str
    field: str
    question: str


class Calibration(Struct, frozen=True):
    """What it was learned from: passages, questions made of them, questions about all else."""

    passages: int
    own: int
    foreign: int


async def calibrate(
    connection: Connection,
    embedder: Embedder | None,
    *,
    pgvector: bool,
    alpha: float,
    per_document: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration | None:
    """Learn the library's gates and keep them; None where there is too little to learn from.

    Raises EmbeddingFailed.
    """
    languages = await connection.fetch(LANGUAGES)
    passages = sum(row["passages"] for row in languages)
    if passages < MIN_PASSAGES:
        return None
    plan = await load_search_plan(
        connection, embedder.name if embedder else None, pgvector=pgvector
    )
    foreign = off_topic_questions(
        [row["language"] for row in languages if row["passages"] >= 0.1 * passages]
    )
    texts = [
        msgspec.json.decode(row["sentences"], type=tuple[Sentence, ...])
        for row in await connection.fetch(SOME_PASSAGES, 4 * QUESTIONS)
    ]
    own = own_questions(texts)
    questions = [*own, *(one.question for one in foreign)]
    indexes = [None, plan.index] if plan.index and embedder else [None]
    newest = await connection.fetchval(NEWEST)
    kept = False
    asker = _Asker(connection, plan, embedder, alpha, per_document)
    total = len(indexes) * len(questions)
    for place, index in enumerate(indexes):

        def shown(done: int, before: int = place * len(questions)) -> None:
            report(before + done, total)

        answered, by_meaning = await asker.ask(questions, shown, hybrid=index is not None)
        centroid: Sequence[float] = ()
        if index:
            centroid = await connection.fetchval(CENTROID.format(table=index.table)) or ()
        gate = learn(answered[: len(own)], answered[len(own) :], centroid)
        if gate is not None and (centroid or not index):
            if index:
                near = learn(by_meaning[: len(own)], by_meaning[len(own) :], centroid, nearness)
                gate = replace(gate, by_meaning=near)
            model = msgspec.json.encode(gate).decode()
            await connection.execute(KEEP, index and index.id, passages, model)
            kept = True
        await connection.execute(DROP_OLDER, newest, index and index.id)
    report(total, total)
    return Calibration(passages, len(own), len(foreign)) if kept else None


def off_topic_questions(languages: Sequence[str]) -> list[OffTopicQuestion]:
    """Return the questions of these languages; the English ones where there are none."""
    text = files("app.services.search").joinpath(FOREIGN).read_text(encoding="utf-8")
    every = [OffTopicQuestion(*line.split("\t")) for line in text.splitlines()[1:]]
    return [one for one in every if one.language in languages] or [
        one for one in every if one.language == "en"
    ]


def own_questions(passages: Sequence[Sequence[Sentence]]) -> list[str]:
    """Make questions of sentences, as somebody would ask who does not remember the words."""
    chance = random.Random(len(passages))  # noqa: S311 -- the same each time, and no secret
    pool = [_words(one.text) for sentences in passages for one in sentences]
    pool = [words for words in pool if len(words) >= 8]
    asked: list[str] = []
    for _ in range(QUESTIONS if pool else 0):
        words, others = chance.choice(pool), chance.choice(pool)
        begin = chance.randrange(max(1, len(words) - LONGEST + 1))
        kept = [
            word
            for word in words[begin : begin + LONGEST]
            if word.lower() in STOP_WORDS or chance.random() < KEPT
        ]
        noise = [word for word in others if word.lower() not in STOP_WORDS]
        chance.shuffle(noise)
        own = sum(w.lower() not in STOP_WORDS for w in kept)
        for word in noise[: max(1, round(own * NOISE / (1 - NOISE)))]:
            kept.insert(chance.randrange(len(kept) + 1), word)
        question = " ".join(kept)
        if is_asking(question):
            asked.append(question)
    return asked


def _words(text: str) -> list[str]:
    """Split a sentence; scripts without spaces into pieces of about a word's length."""
    return [
        piece
        for word in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text)
        for apart, run in groupby(word, unspaced)
        for piece in (re.findall(".{1,3}", "".join(run)) if apart else ["".join(run)])
    ]


class _Answered(Struct, frozen=True):
    """What the library had for a question."""

    figures: list[PassageScores]
    embedding: Sequence[float]


class _Asker(Struct, frozen=True):
    """Asks the library many questions."""

    connection: Connection
    plan: SearchPlan
    embedder: Embedder | None
    alpha: float
    per_document: int

    async def ask(
        self, questions: Sequence[str], shown: Callable[[int], None], *, hybrid: bool
    ) -> tuple[list[_Answered], list[_Answered]]:
        """Return what it has for each, and, `hybrid`, what it has by the meaning alone."""
        answered: list[_Answered] = []
        by_meaning: list[_Answered] = []
        for start in range(0, len(questions), BATCH):
            shown(start)
            some = questions[start : start + BATCH]
            if not hybrid or self.embedder is None:
                answered += [await self._one(question, ()) for question in some]
                continue
            for question, vector in zip(some, await self.embedder(some), strict=True):
                answered.append(await self._one(question, vector))
                by_meaning.append(await self._one("", vector))
        return answered, by_meaning

    async def _one(self, question: str, embedding: Sequence[float]) -> _Answered:
        rows = await ask(
            self.connection,
            self.plan,
            question,
            embedding=embedding,
            alpha=self.alpha,
            per_document=self.per_document,
            most=DEPTH,
        )
        return _Answered([passage_scores(row) for row in rows if row["tier"] == 3], embedding)


def learn(
    own: Sequence[_Answered],
    foreign: Sequence[_Answered],
    centroid: Sequence[float],
    summary: Callable[[Sequence[PassageScores], float], Sequence[float]] = features,
) -> AnswerabilityClassifier | None:
    """Fit a gate to what was found, and have it refuse nearly all of the foreign questions.

    `summary` makes the features of a ranking. None where so few of them found anything that
    there is nothing to tell apart.
    """
    unset = AnswerabilityClassifier((), (), (), 0.0, 0.0, tuple(centroid))

    def values(ranked: Iterable[_Answered]) -> list[Sequence[float]]:
        found = (one for one in ranked if one.figures)
        return [summary(one.figures, unset.typical(one.embedding)) for one in found]

    answered, refused = values(own), values(foreign)
    if min(len(answered), len(refused)) < MIN_FOUND:
        return None
    means, scales, weights = fit(answered, refused)
    unbiased = replace(unset, means=means, scales=scales, weights=weights)
    # Those for which there is nothing at all are refused anyway.
    spared = max(MIN_SPARED, int((1 - REFUSED) * len(foreign)))
    logits = sorted(map(unbiased.logit, refused))
    scores = sorted(one.figures[0].score for one in foreign if one.figures)
    return replace(
        unbiased,
        bias=-logits[-1 - min(spared, len(logits) - 1)],
        floor=scores[-1 - min(spared, len(scores) - 1)],
    )
