"""Search for judged questions, and compare the results with the judgements."""

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter

from msgspec import Struct

from app.schemas import Retrieval, Source, Tier
from app.services.evaluation import metrics
from app.services.evaluation.answers import AnswerCheck, contains_answer, is_ungrounded
from app.services.evaluation.beir import BeirDataset
from app.services.evaluation.off_topic import OffTopicQuery
from app.services.evaluation.passages import PassageIndex
from app.services.evaluation.questions import Answer, Question
from app.services.evaluation.searcher import Searcher
from app.services.models.extractive.model import extract_answer
from app.services.search.text import slugify

# The number of sources that are examined for answers.
SERVED = 5
# Untimed searches before the timed ones.
WARM_UP = 5


class JudgedQuestion(Struct, frozen=True):
    """A question as searched, where its answers are, and the grades of passages by id.

    A judged entry that is not in the library has a negative passage id. `tier` is the one whose
    ranking is measured; `expected` has the words of the answer, if known. If `every` is set, all
    answers are wanted; otherwise they are alternatives.
    """

    id: str
    text: str
    creator: str | None
    tier: Tier
    answers: tuple[Answer, ...]
    grades: dict[int, int]
    expected: str | None = None
    every: bool = False

    @property
    def is_answerable(self) -> bool:
        """Whether any passage in the library answers it."""
        return any(number > 0 for number in self.grades)


class QuestionResult(Struct, frozen=True):
    """The metrics of one question; `served` is its `served_recall`."""

    id: str
    ndcg: float
    recall: float
    reciprocal_rank: float
    served: float
    refused: bool
    milliseconds: float
    answer: AnswerCheck | None


def judge_queries(
    dataset: BeirDataset, creators: Mapping[str, str], index: PassageIndex
) -> list[JudgedQuestion]:
    """Find the passages that answer each query; `creators` maps groups to creators' slugs."""
    return [
        JudgedQuestion(
            id=query.id,
            text=query.text,
            creator=creators.get(query.group) if query.group is not None else None,
            tier="global" if query.group is None else "creator",
            answers=tuple(Answer(entry) for entry in query.grades),
            grades=_passage_grades(query.grades, index),
            expected=query.answer,
            every=True,
        )
        for query in dataset.queries
    ]


def _passage_grades(entries: Mapping[str, int], index: PassageIndex) -> dict[int, int]:
    """Map passage ids to grades; an entry without passages gets a negative id."""
    grades: dict[int, int] = {}
    for number, (entry, grade) in enumerate(entries.items(), 1):
        ids = [passage.id for passage in index.passages_of(entry)] or [-number]
        grades |= dict.fromkeys(ids, grade)
    return grades


def judge_question(question: Question, query: str, index: PassageIndex) -> JudgedQuestion:
    """Find the passages that answer a question, which is searched as `query`.

    If its creator has an answer, the ranking of the creator's own passages is measured.
    """
    passages = list(index.passages_with(question.answers))
    creator = slugify(question.creator or "")
    own = any(one.creator == creator for one in passages)
    return JudgedQuestion(
        id=question.id,
        text=query,
        creator=question.creator,
        tier="creator" if own else "global",
        answers=question.answers,
        grades={one.id: 1 for one in passages},
    )


async def measure(
    searcher: Searcher, questions: Sequence[JudgedQuestion], index: PassageIndex
) -> list[QuestionResult]:
    """Search for the questions sequentially. Raises LibraryUnavailable."""
    for question in questions[:WARM_UP]:
        await searcher.search(question.text, question.creator)
    return [await _measure_one(searcher, question, index) for question in questions]


async def _measure_one(
    searcher: Searcher, question: JudgedQuestion, index: PassageIndex
) -> QuestionResult:
    started_at = perf_counter()
    found = await searcher.search(question.text, question.creator)
    milliseconds = (perf_counter() - started_at) * 1_000
    ranking = await searcher.rank(question.text, question.creator, per_tier=metrics.DEPTH)
    ranked = [hit.passage_id for hit in ranking.hits(question.tier)]
    return QuestionResult(
        id=question.id,
        ndcg=metrics.ndcg(ranked, question.grades),
        recall=metrics.recall(ranked, question.grades),
        reciprocal_rank=metrics.reciprocal_rank(ranked, question.grades),
        served=served_recall(found.sources, question.answers, index, every=question.every),
        refused=found.tier == "none",
        milliseconds=milliseconds,
        answer=_check_answer(question, question.expected, found, index)
        if question.expected and found.sources
        else None,
    )


def _check_answer(
    question: JudgedQuestion, expected: str, found: Retrieval, index: PassageIndex
) -> AnswerCheck:
    answer = extract_answer(question.text, found.sources)
    return AnswerCheck(
        served=any(index.source_contains(s, a) for s in found.sources for a in question.answers),
        correct=contains_answer(answer, expected),
        ungrounded=is_ungrounded(answer, found.sources),
    )


def served_recall(
    sources: Sequence[Source],
    answers: Sequence[Answer],
    index: PassageIndex,
    *,
    every: bool = False,
) -> float:
    """Return 1 if the first sources contain any of the answers, else 0.

    With `every`, return the share of the answers that they contain.
    """
    first = sources[:SERVED]
    found = [any(index.source_contains(one, answer) for one in first) for answer in answers]
    return sum(found) / len(found) if every else float(any(found))


async def measure_refusals(
    searcher: Searcher, queries: Iterable[OffTopicQuery], creators: Sequence[str]
) -> list[tuple[str, bool]]:
    """Search for off-topic queries; return the origin of each and whether it was refused.

    If there are creators, each query names one of them in turn.
    """
    results = []
    for number, query in enumerate(queries):
        creator = creators[number % len(creators)] if creators else None
        found = await searcher.search(query.text, creator)
        results.append((query.origin, found.tier == "none"))
    return results
