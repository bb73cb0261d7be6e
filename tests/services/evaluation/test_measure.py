"""Metrics of the queries of BEIR datasets."""

import pytest
from msgspec.structs import replace

from app.services.evaluation.beir import BeirDataset, JudgedQuery
from app.services.evaluation.measure import (
    JudgedQuestion,
    judge_queries,
    measure,
    measure_refusals,
    served_recall,
)
from app.services.evaluation.negatives import Negative
from app.services.evaluation.questions import Answer
from app.services.evaluation.report import summarize_refusals
from tests.services.evaluation.scripted_searcher import ScriptedSearcher, passage_index
from tests.services.samples import source

pytestmark = pytest.mark.anyio

EARLY = source(1, "Set the attack to 2 ms.", "Then listen.")
LATE = source(2, "The release follows the tempo.", start=60.0)
INDEX = passage_index((1, "talk", EARLY), (2, "talk", LATE))


RELEASE = JudgedQuestion("1", "release?", None, "global", (Answer("talk", 60.0),), {2: 1})


async def test_ranking_is_measured_even_if_the_question_is_refused() -> None:
    searcher = ScriptedSearcher({"release?": (EARLY, LATE)}, {"release?": (1, 2), "tempo?": (2,)})
    questions = [replace(RELEASE, text=text) for text in ("release?", "tempo?", "what?")]
    results = await measure(searcher, questions, INDEX)
    assert [one.reciprocal_rank for one in results] == [0.5, 1, 0]
    assert [one.recall for one in results] == [1, 1, 0]
    assert [one.served for one in results] == [1, 0, 0]
    assert [one.refused for one in results] == [False, True, True]


async def test_creators_ranking_is_measured_for_a_question_to_a_creator() -> None:
    searcher = ScriptedSearcher({}, {"release?": (1,)}, {"release?": (2,)})
    (result,) = await measure(searcher, [replace(RELEASE, creator="mara", tier="creator")], INDEX)
    assert result.recall == 1
    assert set(searcher.searches) == {("release?", "mara")}


async def test_expected_answer_is_looked_for_in_the_extractive_answer() -> None:
    searcher = ScriptedSearcher({"attack?": (EARLY,), "tempo?": (EARLY,)}, {})
    attack = replace(RELEASE, text="attack?", answers=(Answer("talk", 0.0),), expected="2 MS")
    tempo = replace(RELEASE, text="tempo?", expected="tempo")
    results = await measure(searcher, [attack, tempo], INDEX)
    first, second = (one.answer for one in results)
    assert first
    assert (first.served, first.correct, first.ungrounded) == (True, True, False)
    assert second
    assert (second.served, second.correct) == (False, False)


def test_share_of_the_answers_in_the_first_five_sources_counts() -> None:
    answers = (Answer("talk", 0.0, 4.0), Answer("talk", 60.0), Answer("other"))
    assert served_recall((EARLY, LATE), answers, INDEX) == pytest.approx(2 / 3)
    assert served_recall((EARLY,) * 5 + (LATE,), answers, INDEX) == pytest.approx(1 / 3)
    # The same words in another talk are not an answer.
    elsewhere = source(1, "The release follows the tempo.", title="Another talk", start=60.0)
    assert served_recall((elsewhere,), answers, INDEX) == 0


def test_query_is_answerable_by_the_passages_of_its_judged_entries() -> None:
    index = passage_index((7, "a#1", EARLY), (8, "b#1", LATE))
    queries = (
        JudgedQuery("q1", "?", {"a#1": 2, "gone": 1}, group="a"),
        JudgedQuery("q2", "?", {"gone": 1}),
    )
    one = BeirDataset("set", None, (), queries, within="talk")
    first, second = judge_queries(one, {"a": "group-1"}, index)
    assert (first.creator, first.tier, first.grades) == ("group-1", "creator", {7: 2, -2: 1})
    assert (second.creator, second.tier, second.is_answerable) == (None, "global", False)


async def test_questions_to_refuse_name_the_creators_in_turn() -> None:
    searcher = ScriptedSearcher({"rain?": (EARLY,)}, {})
    negatives = [
        Negative(query="rain?", kind="a"),
        Negative(query="snow?", kind="b"),
        Negative(query="hail?", kind="b"),
    ]
    report = summarize_refusals(await measure_refusals(searcher, negatives, ["group-1", "group-2"]))
    assert [creator for _, creator in searcher.searches] == ["group-1", "group-2", "group-1"]
    assert report
    assert report.refused == pytest.approx(2 / 3)
    assert report.by_source == {"a": 0, "b": 1}
    assert summarize_refusals([]) is None
