"""What is searched, ranked, served and refused is counted for what it is."""

import pytest
from msgspec.structs import replace

from app.services.evaluation.beir import JudgedQuery, JudgedSet
from app.services.evaluation.measure import (
    Judged,
    judged_queries,
    judged_question,
    measure,
    refusals,
    served_recall,
)
from app.services.evaluation.off_topic import OffTopic
from app.services.evaluation.questions import Answer, Question
from app.services.evaluation.report import refusals_of
from tests.services.evaluation.searching import ToldSearcher, shelf_of
from tests.services.samples import source

pytestmark = pytest.mark.anyio

EARLY = source(1, "Set the attack to 2 ms.", "Then listen.")
LATE = source(2, "The release follows the tempo.", start=60.0)
SHELF = shelf_of((1, "talk", EARLY), (2, "talk", LATE))


RELEASE = Judged("1", "release?", None, "global", (Answer("talk", 60.0),), {2: 1})


async def test_the_ranking_counts_as_it_is_and_what_the_gate_refuses_is_lost() -> None:
    searcher = ToldSearcher({"release?": (EARLY, LATE)}, {"release?": (1, 2), "tempo?": (2,)})
    questions = [replace(RELEASE, text=text) for text in ("release?", "tempo?", "what?")]
    outcomes = await measure(searcher, questions, SHELF)
    assert [one.reciprocal_rank for one in outcomes] == [0.5, 1, 0]
    assert [one.recall for one in outcomes] == [1, 1, 0]
    assert [one.served for one in outcomes] == [1, 0, 0]
    assert [one.refused for one in outcomes] == [False, True, True]


async def test_within_a_creator_the_creators_own_ranking_counts() -> None:
    searcher = ToldSearcher({}, {"release?": (1,)}, {"release?": (2,)})
    (outcome,) = await measure(searcher, [replace(RELEASE, creator="mara", tier="creator")], SHELF)
    assert outcome.recall == 1
    assert set(searcher.asked) == {("release?", "mara")}


async def test_a_known_answer_is_looked_for_in_the_quotation() -> None:
    searcher = ToldSearcher({"attack?": (EARLY,), "tempo?": (EARLY,)}, {})
    attack = replace(RELEASE, text="attack?", answers=(Answer("talk", 0.0),), tells="2 MS")
    tempo = replace(RELEASE, text="tempo?", tells="tempo")
    outcomes = await measure(searcher, [attack, tempo], SHELF)
    first, second = (one.reply for one in outcomes)
    assert first
    assert (first.served, first.told, first.foreign) == (True, True, False)
    assert second
    assert (second.served, second.told) == (False, False)


def test_one_of_the_answers_among_the_first_five_sources_is_enough() -> None:
    answers = (Answer("other"), Answer("talk", 60.0))
    assert served_recall((EARLY, LATE), answers, SHELF) == 1
    assert served_recall((EARLY,) * 5 + (LATE,), answers, SHELF) == 0
    # Of another talk with the same words it is not.
    elsewhere = source(1, "The release follows the tempo.", title="Another talk", start=60.0)
    assert served_recall((elsewhere, EARLY), answers, SHELF) == 0


async def test_where_every_answer_is_wanted_their_share_is_served() -> None:
    answers = (Answer("talk", 0.0, 4.0), Answer("talk", 60.0), Answer("other"))
    assert served_recall((EARLY, LATE), answers, SHELF, every=True) == pytest.approx(2 / 3)
    searcher = ToldSearcher({"release?": (EARLY,)}, {})
    alternatives = replace(RELEASE, answers=answers)
    outcomes = await measure(searcher, [alternatives, replace(alternatives, every=True)], SHELF)
    assert [one.served for one in outcomes] == [1, pytest.approx(1 / 3)]


def test_a_query_is_answered_by_the_passages_of_its_entries() -> None:
    shelf = shelf_of((7, "a#1", EARLY), (8, "b#1", LATE))
    queries = (
        JudgedQuery("q1", "?", {"a#1": 2, "gone": 1}, group="a"),
        JudgedQuery("q2", "?", {"gone": 1}),
    )
    one = JudgedSet("set", None, (), queries, within="talk")
    first, second = judged_queries(one, {"a": "group-1"}, shelf)
    assert (first.creator, first.tier, first.grades) == ("group-1", "creator", {7: 2, -2: 1})
    assert first.every
    assert (second.creator, second.tier, second.is_answered) == (None, "global", False)


def test_a_question_to_a_creator_is_ranked_among_their_own_where_they_answer_it() -> None:
    question = Question("1", "release?", (Answer("talk", 60.0),), creator="Mara")
    one = judged_question(question, "release? (bass)", SHELF)
    assert (one.text, one.tier, one.grades) == ("release? (bass)", "creator", {2: 1})
    assert not one.every
    stranger = Question("1", "release?", (Answer("talk", 60.0),), creator="tom")
    assert judged_question(stranger, "release?", SHELF).tier == "global"


async def test_off_topic_questions_go_round_the_creators() -> None:
    searcher = ToldSearcher({"rain?": (EARLY,)}, {})
    foreign = [OffTopic("a", "rain?"), OffTopic("b", "snow?"), OffTopic("b", "hail?")]
    report = refusals_of(await refusals(searcher, foreign, ["group-1", "group-2"]))
    assert [creator for _, creator in searcher.asked] == ["group-1", "group-2", "group-1"]
    assert report
    assert report.refused == pytest.approx(2 / 3)
    assert report.by_source == {"a": 0, "b": 1}
    assert refusals_of([]) is None
