"""Judging replies: moments, documents, facts, citations, tiers and languages."""

import pytest
from msgspec.structs import replace

from app.schemas import Sentence, Source
from app.services.evaluation.asking import Reply
from app.services.evaluation.judging import QuestionOutcome, judge, judge_negative, tells
from app.services.evaluation.negatives import Negative
from app.services.evaluation.passages import PassageIndex
from app.services.evaluation.questions import Answer, Question
from tests.services.evaluation.scripted_searcher import passage_index
from tests.services.samples import source

# Sentences start at 100, 105 and 110 s.
TALK = source(1, "Hello.", "Set the attack to 2 ms.", "Then listen.", start=100.0)
OTHER = source(2, "Set the attack to 2 ms.", title="Another talk")
INDEX = passage_index((1, "talk", TALK), (2, "other", OTHER))
QUESTION = Question("1", "How fast is the attack?", (Answer("talk", contains="attack to 2 ms"),))
REPLY = Reply(
    query="attack?",
    matching="hybrid",
    answer="Set it to 2 ms. [1]",
    finish_reason="stop",
    tier="global",
    sources=(TALK,),
    cited=frozenset({1}),
    search_ms=1.0,
    total_ms=2.0,
)


def linked_to(start: float | None, one: Source = TALK, end: float | None = 115.0) -> Source:
    """Return the source with a citation that starts at `start`."""
    return replace(one, citation=replace(one.citation, start_seconds=start, end_seconds=end))


def without_times(one: Source) -> Source:
    bare = replace(one, sentences=tuple(Sentence(each.text) for each in one.sentences))
    return linked_to(None, bare, None)


def judged(
    *sources: Source,
    answers: tuple[Answer, ...] = QUESTION.answers,
    index: PassageIndex = INDEX,
) -> QuestionOutcome:
    reply = replace(REPLY, sources=sources)
    return judge(replace(QUESTION, answers=answers), reply, index, "en")


def test_ranks_are_of_the_first_source_that_qualifies() -> None:
    outcome = judged(OTHER, TALK, TALK)
    assert (outcome.moment_rank, outcome.sentence_rank, outcome.document_rank) == (2, 2, 2)
    assert [(one.moment, one.document) for one in outcome.sources] == [
        *((False, False), (True, True), (True, True))
    ]


def test_same_words_in_another_document_are_not_an_answer() -> None:
    outcome = judged(OTHER)
    assert (outcome.moment_rank, outcome.passage_rank, outcome.document_rank) == (None, None, None)
    assert not outcome.cites


def test_citation_that_starts_after_the_sentence_does_not_reach_it() -> None:
    assert judged(linked_to(105.0)).sentence_rank == 1
    late = judged(linked_to(110.0))
    assert (late.sentence_rank, late.passage_rank, late.document_rank) == (None, 1, 1)


@pytest.mark.parametrize(
    ("start", "end", "rank"),
    [(105.0, 115.0, 1), (119.0, 130.0, 1), (120.0, 130.0, None), (90.0, 100.0, None)],
)
def test_moment_is_where_the_citation_overlaps_the_times_of_the_answer(
    start: float, end: float, rank: int | None
) -> None:
    answers = (Answer("talk", 100.0, 120.0, "attack to 2 ms"),)
    assert judged(linked_to(start, end=end), answers=answers).moment_rank == rank


def test_answer_without_words_is_reached_where_its_times_are() -> None:
    answers = (Answer("talk", 100.0, 105.0),)
    assert judged(linked_to(100.0), answers=answers).sentence_rank == 1
    assert judged(linked_to(105.0), answers=answers).sentence_rank is None


def test_document_without_times_answers_by_its_words() -> None:
    page = without_times(TALK)
    found = judged(page, answers=(Answer("talk", 100.0, 120.0, "attack to 2 ms"),))
    assert (found.moment_rank, found.sentence_rank) == (1, 1)
    missed = judged(page, answers=(Answer("talk", contains="attack to 20 ms"),))
    assert (missed.moment_rank, missed.document_rank) == (None, 1)


def test_any_of_the_answers_is_enough() -> None:
    assert judged(TALK, answers=(Answer("gone"), *QUESTION.answers)).moment_rank == 1


def test_reply_tells_the_facts_if_it_has_one_of_each_group() -> None:
    assert tells(REPLY, [["2 MS", "two milliseconds"]])
    assert tells(REPLY, [["five", "2  ms"], ["set"]])
    assert not tells(REPLY, [["2 ms"], ["release"]])
    # The number of a citation is not a fact.
    assert not tells(REPLY, [["1"]])
    assert judge(QUESTION, REPLY, INDEX, "en").told is None


def test_refusal_neither_tells_nor_cites() -> None:
    question = replace(QUESTION, facts=(("2 ms",),))
    refused = replace(REPLY, finish_reason="refused", tier="none")
    outcome = judge(question, refused, INDEX, "en")
    assert (outcome.refused, outcome.told, outcome.cites) == (True, False, False)
    # The moments shown beside it count.
    assert outcome.moment_rank == 1


def test_answer_must_cite_a_source_at_the_moment() -> None:
    assert judge(QUESTION, REPLY, INDEX, "en").cites
    both = replace(REPLY, sources=(TALK, OTHER))
    assert not judge(QUESTION, replace(both, cited=frozenset({2})), INDEX, "en").cites


def test_creators_tier_counts_if_the_creator_has_an_answer() -> None:
    by_tier = {
        tier: judge(replace(QUESTION, creator="Mara"), replace(REPLY, tier=tier), INDEX, "en")
        for tier in ("creator", "global")
    }
    assert [one.creator_tier for one in by_tier.values()] == [True, False]
    assert judge(replace(QUESTION, creator="tom"), REPLY, INDEX, "en").creator_tier is None
    assert judge(QUESTION, REPLY, INDEX, "en").creator_tier is None


def test_scope_compares_the_languages_of_question_documents_and_library() -> None:
    def scope(question: str | None, document: str) -> str:
        index = passage_index((1, "talk", TALK), language=document)
        return judge(replace(QUESTION, lang=question), REPLY, index, "en").scope

    assert scope(None, "en") == scope("en-GB", "en") == "main"
    assert scope("pt-BR", "pt") == "other"
    assert scope("de", "en") == scope("en", "de") == "across"


def test_negative_is_judged_by_whether_it_is_refused() -> None:
    negative = Negative(query="hi", kind="greeting")
    assert not judge_negative(negative, REPLY).refused
    refused = replace(REPLY, finish_reason="refused", answer="Hello!")
    assert judge_negative(negative, refused).refused
