"""Judged questions and a library to search come in; what came of each of them goes out."""

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter

from msgspec import Struct

from app.schemas import Retrieval, Source, Tier
from app.services.evaluation import metrics
from app.services.evaluation.answers import Reply, is_off_topic, tells
from app.services.evaluation.beir import JudgedSet
from app.services.evaluation.off_topic import OffTopic
from app.services.evaluation.passages import PassageIndex
from app.services.evaluation.questions import Answer, Question
from app.services.evaluation.searcher import Searcher
from app.services.models.extractive.model import quote
from app.services.search.text import slugify

# How many of the sources that are served are looked at.
SERVED = 5
# Searches before the first one whose time counts.
WARM_UP = 5


class Judged(Struct, frozen=True):
    """A question as it is asked, where its answers stand, and the passages there: id → grade.

    What is graded and not in the library has a number below 0: nobody can find it.

    `tier` is the one whose ranking is measured; `tells` has the words of the answer, if known.
    `every` says that all of the answers are wanted; else any of them answers the whole question.
    """

    id: str
    text: str
    creator: str | None
    tier: Tier
    answers: tuple[Answer, ...]
    grades: dict[int, int]
    tells: str | None = None
    every: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether anything that answers it is in the library."""
        return any(number > 0 for number in self.grades)


class Outcome(Struct, frozen=True):
    """What came of one question; `served` is what `served_recall` says of its sources."""

    id: str
    ndcg: float
    recall: float
    reciprocal_rank: float
    served: float
    refused: bool
    milliseconds: float
    reply: Reply | None


def judged_queries(
    one: JudgedSet, creators: Mapping[str, str], shelf: PassageIndex
) -> list[Judged]:
    """Say which passages answer each query; `creators` has the slug that stands for a group."""
    return [
        Judged(
            id=query.id,
            text=query.text,
            creator=creators.get(query.group) if query.group is not None else None,
            tier="global" if query.group is None else "creator",
            answers=tuple(Answer(entry) for entry in query.grades),
            grades=_grades(query.grades, shelf),
            tells=query.answer,
            every=True,
        )
        for query in one.queries
    ]


def _grades(told: Mapping[str, int], shelf: PassageIndex) -> dict[int, int]:
    """Give each passage its grade; an entry that is not there has a number that none has."""
    grades: dict[int, int] = {}
    for place, (entry, grade) in enumerate(told.items(), 1):
        numbers = [passage.id for passage in shelf.passages_of(entry)] or [-place]
        grades |= dict.fromkeys(numbers, grade)
    return grades


def judged_question(question: Question, searched: str, shelf: PassageIndex) -> Judged:
    """Say which passages answer a question that is searched as `searched`.

    Asked of a creator who has an answer, it is ranked among the creator's own passages. Its
    answers are alternatives: any of them is enough.
    """
    passages = list(shelf.passages_with(question.answers))
    creator = slugify(question.creator or "")
    own = any(one.creator == creator for one in passages)
    return Judged(
        id=question.id,
        text=searched,
        creator=question.creator,
        tier="creator" if own else "global",
        answers=question.answers,
        grades={one.id: 1 for one in passages},
    )


async def measure(
    searcher: Searcher, questions: Sequence[Judged], shelf: PassageIndex
) -> list[Outcome]:
    """Search every question, one after another. Raises LibraryUnavailable."""
    for question in questions[:WARM_UP]:
        await searcher.search(question.text, question.creator)
    return [await _outcome(searcher, question, shelf) for question in questions]


async def _outcome(searcher: Searcher, question: Judged, shelf: PassageIndex) -> Outcome:
    began = perf_counter()
    found = await searcher.search(question.text, question.creator)
    milliseconds = (perf_counter() - began) * 1_000
    ranking = await searcher.rank(question.text, question.creator, most=metrics.DEPTH)
    ranked = [hit.passage_id for hit in ranking.hits(question.tier)]
    return Outcome(
        id=question.id,
        ndcg=metrics.ndcg(ranked, question.grades),
        recall=metrics.recall(ranked, question.grades),
        reciprocal_rank=metrics.reciprocal_rank(ranked, question.grades),
        served=served_recall(found.sources, question.answers, shelf, every=question.every),
        refused=found.tier == "none",
        milliseconds=milliseconds,
        reply=_reply(question, found, shelf) if question.tells and found.sources else None,
    )


def _reply(question: Judged, found: Retrieval, shelf: PassageIndex) -> Reply:
    reply = quote(question.text, found.sources)
    return Reply(
        served=any(shelf.holds(one, a) for one in found.sources for a in question.answers),
        told=tells(reply, question.tells or ""),
        foreign=is_off_topic(reply, found.sources),
    )


def served_recall(
    sources: Sequence[Source],
    answers: Sequence[Answer],
    shelf: PassageIndex,
    *,
    every: bool = False,
) -> float:
    """Return 1 where any of the answers stands in the first sources that are served, else 0.

    With `every` it is the share of the answers that stand there.
    """
    first = sources[:SERVED]
    found = [any(shelf.holds(one, answer) for one in first) for answer in answers]
    return sum(found) / len(found) if every else float(any(found))


async def refusals(
    searcher: Searcher, questions: Iterable[OffTopic], creators: Sequence[str]
) -> list[tuple[str, bool]]:
    """Ask what the library has nothing on; returns each one's source and whether it was refused.

    Where questions are asked within creators, these are asked of one after another.
    """
    outcomes = []
    for number, question in enumerate(questions):
        creator = creators[number % len(creators)] if creators else None
        found = await searcher.search(question.text, creator)
        outcomes.append((question.source, found.tier == "none"))
    return outcomes
