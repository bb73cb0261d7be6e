"""Search for the judged queries of a BEIR dataset, and compare the results with the judgements."""

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter

from msgspec import Struct

from app.schemas import Retrieval, Source, Tier
from app.services.evaluation import metrics
from app.services.evaluation.answers import AnswerCheck, contains_answer, is_ungrounded
from app.services.evaluation.beir import BeirDataset
from app.services.evaluation.negatives import Negative
from app.services.evaluation.passages import PassageIndex
from app.services.evaluation.questions import Answer
from app.services.evaluation.searcher import Searcher
from app.services.models.extractive.model import extract_answer

# The number of sources that are examined for answers.
SERVED = 5
# Untimed searches before the timed ones.
WARM_UP = 5


class JudgedQuestion(Struct, frozen=True):
    """A query, the entries that answer it, and the grades of passages by id.

    A judged entry that is not in the library has a negative passage id. `tier` is the one whose
    ranking is measured; `expected` has the words of the answer, if known.
    """

    id: str
    text: str
    creator: str | None
    tier: Tier
    answers: tuple[Answer, ...]
    grades: dict[int, int]
    expected: str | None = None

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
        served=served_recall(found.sources, question.answers, index),
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
    sources: Sequence[Source], answers: Sequence[Answer], index: PassageIndex
) -> float:
    """Return the share of the answers that the first sources contain."""
    first = sources[:SERVED]
    found = [any(index.source_contains(one, answer) for one in first) for answer in answers]
    return sum(found) / len(found)


async def measure_refusals(
    searcher: Searcher, negatives: Iterable[Negative], creators: Sequence[str]
) -> list[tuple[str, bool]]:
    """Search for questions to refuse; return the kind of each and whether it was refused.

    If there are creators, each question names one of them in turn.
    """
    results = []
    for number, negative in enumerate(negatives):
        creator = creators[number % len(creators)] if creators else None
        found = await searcher.search(negative.query, creator)
        results.append((negative.kind, found.tier == "none"))
    return results
