"""Compare the reply to a question with where its answer is and what it says."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from app.schemas import FinishReason, Matching, Source, Tier
from app.services.chat.citations import strip_markers
from app.services.evaluation.asking import Reply
from app.services.evaluation.negatives import Negative
from app.services.evaluation.passages import PassageIndex
from app.services.evaluation.questions import Answer, Question, normalize
from app.services.search.text import slugify

# How a question's language relates to those of the library and of the documents that answer it:
# the library's main language, another one that an answering document has too, or one that none has.
Scope: TypeAlias = Literal["main", "other", "across"]


class ShownSource(Struct, frozen=True):
    """A source that the client got: whether it is of an answering document, and its moment."""

    number: int
    title: str
    creator: str
    start_seconds: float | None
    document: bool
    moment: bool


class QuestionOutcome(Struct, frozen=True):
    """What became of a question.

    Ranks count from 1 and are None if no source qualifies: `moment_rank` is of the first source at
    the moment of an answer, `sentence_rank` of the first whose citation starts no later than the
    answering sentence, `passage_rank` of the first that contains that sentence anywhere,
    `document_rank` of the first of an answering document. `told`: the reply contains the facts,
    None for a question without; `cites`: it cites a source at the moment of an answer.
    `creator_tier`: the creator's tier answered, None if the creator has no answer. `searched` is
    the query that was searched.
    """

    id: str
    query: str
    kind: str | None
    lang: str
    scope: Scope
    creator: str | None
    tier: Tier
    finish_reason: FinishReason
    refused: bool
    moment_rank: int | None
    sentence_rank: int | None
    passage_rank: int | None
    document_rank: int | None
    told: bool | None
    cites: bool
    creator_tier: bool | None
    searched: str
    matching: Matching
    search_ms: float
    total_ms: float
    answer: str
    sources: tuple[ShownSource, ...]


class NegativeOutcome(Struct, frozen=True):
    """What became of a question that should be refused."""

    id: str | None
    query: str
    kind: str
    refused: bool
    tier: Tier
    answer: str


def judge(question: Question, reply: Reply, index: PassageIndex, main: str) -> QuestionOutcome:
    """Judge a reply; `main` is the library's main language, a BCP 47 tag."""
    is_moment = _any_answer(index.is_moment, question.answers)
    reaches = _any_answer(index.reaches_sentence, question.answers)
    contains = _any_answer(index.source_contains, question.answers)
    is_of = _any_answer(index.is_of, question.answers)
    return QuestionOutcome(
        id=question.id,
        query=question.query,
        kind=question.kind,
        lang=question.lang or main,
        scope=_scope(question, index, main),
        creator=question.creator,
        tier=reply.tier,
        finish_reason=reply.finish_reason,
        refused=reply.refused,
        moment_rank=_rank(map(is_moment, reply.sources)),
        sentence_rank=_rank(map(reaches, reply.sources)),
        passage_rank=_rank(map(contains, reply.sources)),
        document_rank=_rank(map(is_of, reply.sources)),
        told=tells(reply, question.facts) if question.facts else None,
        cites=not reply.refused
        and any(is_moment(one) for one in reply.sources if one.citation.number in reply.cited),
        creator_tier=reply.tier == "creator" if _creator_answers(question, index) else None,
        searched=reply.query,
        matching=reply.matching,
        search_ms=round(reply.search_ms, 2),
        total_ms=reply.total_ms,
        answer=reply.answer,
        sources=tuple(_shown(one, is_of(one), is_moment(one)) for one in reply.sources),
    )


def judge_negative(negative: Negative, reply: Reply) -> NegativeOutcome:
    """Judge the reply to a question that should be refused."""
    return NegativeOutcome(
        id=negative.id,
        query=negative.query,
        kind=negative.kind,
        refused=reply.refused,
        tier=reply.tier,
        answer=reply.answer,
    )


def tells(reply: Reply, facts: Sequence[Sequence[str]]) -> bool:
    """Return whether a reply has one fact of each group, ignoring case and white space."""
    text = normalize(strip_markers(reply.answer))
    return not reply.refused and all(
        any(normalize(one) in text for one in group) for group in facts
    )


def _any_answer(
    check: Callable[[Source, Answer], bool], answers: Sequence[Answer]
) -> Callable[[Source], bool]:
    return lambda source: any(check(source, answer) for answer in answers)


def _rank(hits: Iterable[bool]) -> int | None:
    return next((rank for rank, hit in enumerate(hits, 1) if hit), None)


def _scope(question: Question, index: PassageIndex, main: str) -> Scope:
    own = _base(question.lang or main)
    passages = index.passages_with(question.answers)
    if own not in {_base(one.language) for one in passages}:
        return "across"
    return "main" if own == _base(main) else "other"


def _base(tag: str) -> str:
    """Return the language of a BCP 47 tag without its region."""
    return tag.lower().replace("_", "-").partition("-")[0]


def _creator_answers(question: Question, index: PassageIndex) -> bool:
    if question.creator is None:
        return False
    creator = slugify(question.creator)
    return any(one.creator == creator for one in index.passages_with(question.answers))


def _shown(source: Source, document: bool, moment: bool) -> ShownSource:
    citation = source.citation
    return ShownSource(
        number=citation.number,
        title=citation.title,
        creator=citation.creator.slug,
        start_seconds=citation.start_seconds,
        document=document,
        moment=moment,
    )
