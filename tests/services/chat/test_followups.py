"""Follow-ups are rewritten by a model, or else expanded by rule."""

import pytest

from app.errors import ModelFailed
from app.limits import QUERY_LIMIT
from app.services.chat.condenser import Condenser
from app.services.chat.followups import expand_followup, rewrite_question
from app.services.models.prompt import Prompt
from tests.services.samples import past

pytestmark = pytest.mark.anyio

SIDECHAIN = past("How do I side-chain the bass to the kick?")


class Rewriter:
    """A model that returns one text, or fails if it is an exception."""

    def __init__(self, text: str | ModelFailed | None) -> None:
        self._text = text
        self.prompts: list[Prompt] = []

    async def complete(self, prompt: Prompt, deadline: float, /) -> str | None:
        self.prompts.append(prompt)
        if isinstance(self._text, ModelFailed):
            raise self._text
        return self._text


def condenser(text: str | ModelFailed | None) -> Condenser:
    return Condenser(Rewriter(text), timeout=1)


FAILED = ModelFailed("The language model rejected the request.")


async def test_first_question_is_not_rewritten() -> None:
    model = Rewriter("something else")
    assert await rewrite_question("How fast?", (), Condenser(model, timeout=1)) == ("How fast?",)
    assert model.prompts == []


async def test_greeting_is_not_searched() -> None:
    assert await rewrite_question("Hi! How fast?", (), None) == ("How fast?",)
    assert expand_followup("Merci ! How fast?", SIDECHAIN) == "How fast? (side-chain bass kick)"


async def test_model_translates_a_question_into_the_library_s_language() -> None:
    model = Rewriter(" How fast should the\nattack be? ")
    assert await rewrite_question("Wie schnell?", (), Condenser(model, timeout=1), "en") == (
        "Wie schnell? (How fast should the attack be?)",
        "How fast should the attack be?",
    )
    assert "into English" in model.prompts[0].messages[0].content


async def test_model_rewrites_and_translates_a_follow_up_at_once() -> None:
    model = Rewriter("How fast should the side-chain attack be?")
    assert await rewrite_question(
        "Wie schnell?", [SIDECHAIN], Condenser(model, timeout=1), "en"
    ) == (
        "Wie schnell? (How fast should the side-chain attack be?)",
        "How fast should the side-chain attack be?",
    )
    (prompt,) = model.prompts
    assert "in English" in prompt.messages[0].content
    assert SIDECHAIN.question in prompt.messages[-1].content


@pytest.mark.parametrize("written", [FAILED, None, "", "x" * (QUERY_LIMIT + 1), "a\0b"])
async def test_question_is_searched_as_it_is_without_a_usable_translation(
    written: str | ModelFailed | None,
) -> None:
    queries = await rewrite_question("Wie schnell?", (), condenser(written), "en")
    assert queries == ("Wie schnell?",)


async def test_model_rewrites_a_follow_up_with_the_history() -> None:
    model = Rewriter(" How fast should the side-chain\nattack be? ")
    assert await rewrite_question("How fast?", [SIDECHAIN], Condenser(model, timeout=1)) == (
        "How fast should the side-chain attack be?",
    )
    assert SIDECHAIN.question in model.prompts[0].messages[-1].content


@pytest.mark.parametrize(
    "written", [FAILED, None, "", "x" * (QUERY_LIMIT + 1), "a\0b attack", "The answer is 5."]
)
async def test_rule_replaces_a_failed_or_unusable_rewrite(
    written: str | ModelFailed | None,
) -> None:
    assert await rewrite_question("How fast?", [SIDECHAIN], condenser(written)) == (
        "How fast? (side-chain bass kick)",
    )


@pytest.mark.parametrize(
    ("question", "alone"),
    [
        ("And for the reverb?", True),
        ("Und die Release-Zeit?", True),
        # These have no subject of their own.
        ("How fast?", False),
        ("And why does that help?", False),
        ("why?", False),
    ],
)
async def test_follow_up_with_a_subject_is_also_searched_alone(question: str, alone: bool) -> None:
    queries = await rewrite_question(question, [SIDECHAIN], None)
    assert queries[1:] == ((question,) if alone else ())


@pytest.mark.parametrize(
    ("question", "appended"),
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
def test_rule_appends_the_words_that_the_follow_up_leaves_out(question: str, appended: str) -> None:
    assert expand_followup(question, SIDECHAIN) == f"{question} {appended}"


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
def test_rule_does_not_change_a_self_contained_question(question: str) -> None:
    assert expand_followup(question, SIDECHAIN) == question


@pytest.mark.parametrize(
    ("question", "searched"),
    [
        ("Thanks! And the release?", "And the release? (side-chain bass kick)"),
        ("OK. And how far from the guitar do I put a microphone?", None),
        ("Changing the subject: what is reflow?", "what is reflow?"),
        ("Something else.", "Something else."),
    ],
)
def test_conversational_openings_are_removed_from_the_query(
    question: str, searched: str | None
) -> None:
    expected = searched or question.removeprefix("OK. ")
    assert expand_followup(question, SIDECHAIN) == expected


def test_question_about_the_last_answer_is_a_follow_up() -> None:
    last = past("What is a seed phrase?", answer="A seed of twelve words, not in German [1].")
    assert (
        expand_followup("Can I use German words?", last) == "Can I use German words? (seed phrase)"
    )
    assert expand_followup("Do I need acoustic foam?", last) == "Do I need acoustic foam?"


def test_short_follow_up_keeps_the_adjective_of_a_how_question() -> None:
    loud = past("How loud should a master be?")
    assert expand_followup("And for podcasts?", loud) == "And for podcasts? (loud master)"
    assert expand_followup("Why the limiter?", loud) == "Why the limiter? (master)"


def test_subject_persists_while_aspects_replace_each_other() -> None:
    second = past("And the release?", query=expand_followup("And the release?", SIDECHAIN))
    assert expand_followup("And the ratio?", second) == "And the ratio? (side-chain bass kick)"


def test_pronoun_refers_to_the_last_question_as_a_whole() -> None:
    second = past("And the release?", query=expand_followup("And the release?", SIDECHAIN))
    assert (
        expand_followup("How long is it?", second)
        == "How long is it? (release side-chain bass kick)"
    )


def test_query_never_exceeds_the_length_limit() -> None:
    assert len(expand_followup("it " * 333, SIDECHAIN)) <= QUERY_LIMIT
