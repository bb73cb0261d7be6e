"""The quoting answerer says nothing but sentences of the sources, each with its mark."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.prompt import Prompt
from app.services.quoting import NOTHING_FOUND, QuotingModel, quote
from tests.services.samples import source

pytestmark = pytest.mark.anyio

ATTACK = "Set the attack of the side-chain compressor to about 1 ms."
SOURCES = (
    source(1, "Welcome back, everyone.", ATTACK, "Did you hear the attack?", "Bye for now."),
    source(2, "A kick drum has its body at 60 Hz.", "The release follows the tempo."),
)


def test_it_picks_the_sentence_that_answers_and_no_greeting_or_question() -> None:
    answer = quote("How fast should the side-chain attack be?", SOURCES)
    assert answer.startswith(f"{ATTACK} [1]")
    assert "Welcome" not in answer
    assert "Did you" not in answer


def test_a_question_for_a_figure_is_answered_by_a_sentence_with_one() -> None:
    told = source(1, "The attack of the compressor matters most.", "An attack of 2 ms is safe.")
    assert quote("How fast is the attack?", (told,)).startswith("An attack of 2 ms is safe. [1]")


def test_sentences_that_say_the_same_are_said_once() -> None:
    answer = quote("How fast should the attack be?", (source(1, ATTACK), source(2, ATTACK)))
    assert answer == f"{ATTACK} [1]"


def test_a_follow_up_is_answered_by_its_own_words_and_not_with_what_was_said() -> None:
    told = source(1, ATTACK, "Set its release to 100 ms or so.", "Listen to the side-chain.")
    query = "And the release? (attack side-chain compressor)"
    answer = quote(query, (told,), "And the release?", said=ATTACK)
    assert answer.startswith("Set its release to 100 ms or so. [1]")


def test_addresses_and_sentences_with_marks_of_their_own_are_passed_over() -> None:
    told = source(1, "Attack: https://a.example/attack", "The attack[3] is fast.", "Attack fast.")
    assert quote("attack", (told,)) == "Attack fast. [1]"


def test_where_only_the_title_matched_it_begins_at_the_beginning() -> None:
    assert quote("loudness", (source(1, "One two.", "Three four.", "Five."),)) == (
        "One two. [1] Three four. [1]"
    )


WORDS = st.sampled_from(
    ["attack", "release", "kick", "bass", "the", "a", "of", "ms", "fast", "slow", "and", "low"]
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=12).map(lambda words: " ".join(words) + ".")


@given(
    st.lists(WORDS, min_size=1, max_size=6).map(" ".join),
    st.lists(st.lists(SENTENCES, min_size=1, max_size=6), min_size=1, max_size=4),
)
def test_it_never_says_what_stands_in_no_source(query: str, texts: list[list[str]]) -> None:
    sources = tuple(source(number, *sentences) for number, sentences in enumerate(texts, 1))
    answer = quote(query, sources)
    assert answer
    for sentence, number in re.findall(r"(\S.*?\.) \[(\d+)\]", answer):
        assert sentence in texts[int(number) - 1]
    assert not re.sub(r"(\S.*?\.) \[(\d+)\]\s*", "", answer)


async def test_it_streams_word_by_word_and_ends_with_stop() -> None:
    prompt = Prompt((), query="side-chain attack", sources=SOURCES)
    deltas = [delta async for delta in QuotingModel().stream(prompt)]
    assert "".join(d.text for d in deltas) == quote(prompt.query, SOURCES)
    assert len(deltas) > 5
    assert deltas[-1].finish == "stop"


async def test_without_sources_it_says_so() -> None:
    deltas = [delta async for delta in QuotingModel().stream(Prompt((), query="x"))]
    assert [(d.text, d.finish) for d in deltas] == [(NOTHING_FOUND, "refused")]
