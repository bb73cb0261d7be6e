"""A follow-up becomes a question that stands alone: by the model, else by rule."""

import pytest

from app.errors import ModelFailed
from app.limits import QUERY_LIMIT
from app.services.chat.followups import carry_over, condense
from app.services.models.prompt import Prompt
from tests.services.samples import past

pytestmark = pytest.mark.anyio

SIDECHAIN = past("How do I side-chain the bass to the kick?")


class Rewriter:
    """A model that writes one text, or fails."""

    def __init__(self, text: str | None) -> None:
        self._text = text
        self.prompts: list[Prompt] = []

    async def complete(self, prompt: Prompt, deadline: float) -> str:
        self.prompts.append(prompt)
        if self._text is None:
            raise ModelFailed("too slow")
        return self._text


async def test_a_first_question_is_searched_as_it_is() -> None:
    model = Rewriter("something else")
    assert await condense("How fast?", (), model, 1) == "How fast?"
    assert model.prompts == []


async def test_the_model_rewrites_a_follow_up_from_the_turns_before_it() -> None:
    model = Rewriter(" How fast should the side-chain\nattack be? ")
    assert await condense("How fast?", [SIDECHAIN], model, 1) == (
        "How fast should the side-chain attack be?"
    )
    assert SIDECHAIN.question in model.prompts[0].messages[-1].content


@pytest.mark.parametrize(
    "written", [None, "", "x" * (QUERY_LIMIT + 1), "a\0b attack", "The answer is 5."]
)
async def test_where_the_model_gives_nothing_of_use_the_rule_does(written: str | None) -> None:
    assert await condense("How fast?", [SIDECHAIN], Rewriter(written), 1) == (
        "How fast? (side-chain bass kick)"
    )


@pytest.mark.parametrize(
    ("question", "searched"),
    [
        ("And how fast should the attack be?", "(side-chain bass kick)"),
        ("How long should its release time be then?", "(side-chain bass kick)"),
        ("Why the bass?", "(side-chain kick)"),
        ("How fast should the attack be?", "(side-chain bass kick)"),
        ("Which ratio?", "(side-chain bass kick)"),
        ("Und die Release-Zeit?", "(side-chain bass kick)"),
        ("why?", "(side-chain bass kick)"),
        ("Does the room change that?", "(side-chain bass kick)"),
        ("Doesn’t that get too dull?", "(side-chain bass kick)"),
        ("Does Mara use it on her vocals?", "(side-chain bass kick)"),
        ("How do I avoid a low one?", "(side-chain bass kick)"),
        ("What if I only have one take?", "(side-chain bass kick)"),
        ("Why is it called so?", "(side-chain bass kick)"),
        ("¿Y qué ratio hace falta para empezar?", "(side-chain bass kick)"),
    ],
)
def test_the_rule_carries_the_words_that_the_follow_up_leaves_out(
    question: str, searched: str
) -> None:
    assert carry_over(question, SIDECHAIN) == f"{question} {searched}"


@pytest.mark.parametrize(
    "question",
    [
        "What ratio should a vocal compressor use?",
        "What was the first thing Google Wave showed in the keynote demo?",
        "How do I get more battery life on Android?",
        "Is it possible to tune a snare?",
        "What did Larry Page say about his father?",
        "What is dither?",
        "thanks!",
        "And what cutoff do you suggest for an acid line?",
        "地図にデータを表示するには？",
    ],
)
def test_the_rule_leaves_a_question_alone_that_stands_alone(question: str) -> None:
    assert carry_over(question, SIDECHAIN) == question


@pytest.mark.parametrize(
    ("question", "searched"),
    [
        ("Thanks! And the release?", "And the release? (side-chain bass kick)"),
        ("OK. And how far from the guitar do I put a microphone?", None),
        ("Changing the subject: what is reflow?", "what is reflow?"),
        ("Something else.", "Something else."),
    ],
)
def test_what_is_said_before_a_question_is_not_searched(
    question: str, searched: str | None
) -> None:
    expected = searched or question.removeprefix("OK. ")
    assert carry_over(question, SIDECHAIN) == expected


def test_a_question_of_what_the_last_answer_told_is_a_follow_up() -> None:
    told = past("What is a seed phrase?", answer="A seed of twelve words, not in German [1].")
    assert carry_over("Can I use German words?", told) == "Can I use German words? (seed phrase)"
    assert carry_over("Do I need acoustic foam?", told) == "Do I need acoustic foam?"


def test_a_question_that_repeats_the_last_one_keeps_its_measure() -> None:
    loud = past("How loud should a master be?")
    assert carry_over("And for podcasts?", loud) == "And for podcasts? (loud master)"
    assert carry_over("Why the limiter?", loud) == "Why the limiter? (master)"


def test_the_subject_lives_on_while_its_aspects_take_each_others_place() -> None:
    second = past("And the release?", query=carry_over("And the release?", SIDECHAIN))
    assert carry_over("And the ratio?", second) == "And the ratio? (side-chain bass kick)"


def test_a_pronoun_is_about_the_last_question_as_a_whole() -> None:
    second = past("And the release?", query=carry_over("And the release?", SIDECHAIN))
    assert carry_over("How long is it?", second) == "How long is it? (release side-chain bass kick)"


def test_what_is_searched_never_passes_the_limit_of_a_question() -> None:
    assert len(carry_over("it " * 333, SIDECHAIN)) <= QUERY_LIMIT
