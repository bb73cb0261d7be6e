"""The quoting answerer says nothing but sentences of the sources, each with its mark."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.schemas import Source
from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.sentences import sections
from app.services.models.completion import Delta
from app.services.models.extractive.model import NOTHING_FOUND, ExtractiveModel, quote
from app.services.models.prompt import Prompt
from app.services.search.text import keys
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


def test_the_answer_to_an_interviewers_question_is_quoted_though_it_repeats_none_of_its_words() -> (
    None
):
    told = source(
        1,
        "Absorbers stand in every studio that I know of.",
        "How thick must an absorber panel be?",
        "Ten centimetres, with some air behind it, do for most rooms.",
        "Paint the ceiling in whatever colour the singer likes.",
    )
    answer = quote("How thick must absorber panels be?", (told,))
    assert answer.startswith("Ten centimetres, with some air behind it, do for most rooms. [1]")
    assert "How thick" not in answer
    assert "ceiling" not in answer


def test_what_a_thing_is_comes_before_what_is_done_with_it() -> None:
    told = source(
        1,
        "Swing the ghost notes and leave the kick where it is.",
        "The snare on the backbeat stays as loud as it was before.",
        "A ghost note is a very soft stroke between the backbeats.",
    )
    assert quote("What are ghost notes?", (told,)).startswith("A ghost note is a very soft stroke")


def test_a_sentence_that_points_back_is_quoted_behind_the_one_it_points_to() -> None:
    told = source(
        1,
        "The Amazon basin holds most of the forest.",
        "It covers 7,000,000 square kilometres of land.",
        "Parrots of all colours live there.",
    )
    assert quote("How many square kilometres has the Amazon basin?", (told,)) == (
        "The Amazon basin holds most of the forest. [1] "
        "It covers 7,000,000 square kilometres of land. [1]"
    )


def test_words_that_many_questions_have_count_less_than_the_subject() -> None:
    told = source(
        1,
        "People find a good way to start their work at any time of day.",
        "Every compressor has an attack, and every attack has its sound.",
        "The attack shapes how a drum is heard in the mix.",
        "An attack too slow lets the first peak through.",
    )
    answer = quote("What is a good way to start with the attack?", (told,))
    assert "People find" not in answer


def test_an_answer_is_short() -> None:
    long = [" ".join([f"attack{i}", "attack", *(f"w{i}x{j}" for j in range(38))]) for i in range(9)]
    answer = quote("attack", tuple(source(n, text) for n, text in enumerate(long, 1)))
    assert len(re.sub(r" \[\d\]", "", answer).split()) == 80
    short = [f"Attack {word} fast." for word in ("goes", "runs", "flies", "walks", "sounds")]
    assert quote("attack fast", (source(1, *short),)).count("[1]") <= 3


def test_of_two_sentences_alike_the_better_sources_is_quoted() -> None:
    weak = source(1, "An attack of 5 ms suits every kick drum.", "Listen to the cymbals too.")
    weak = replace(weak, citation=replace(weak.citation, score=0.1))
    good = source(2, "An attack of 2 ms lets no peak through.", "The release may be slower.")
    assert quote("How fast should the attack be?", (weak, good)) == f"{good.sentences[0].text} [2]"


def test_words_that_stand_side_by_side_in_the_question_count_more_so_in_a_sentence() -> None:
    told = source(
        1,
        "A fork in the soft clay of the river bank is easily seen.",
        "Boats pass by on most days of the week.",
        "With a soft fork the old rules become tighter for everyone.",
    )
    assert quote("soft fork", (told,)).startswith("With a soft fork")


def test_what_the_title_names_is_understood_in_every_sentence() -> None:
    told = "Set the ratio of the second operator to 1.4 and listen."
    bell = source(2, told, "Then go on from there as you like.", title="An FM bell")
    bass = source(1, told.replace("1.4", "2"), "So much for today from us.", title="A bass")
    other = source(3, "A bell has been ringing in the village since the war.", title="Villages")
    assert quote("Which ratio has a bell?", (bass, bell, other)).startswith(f"{told} [2]")


XQUAD = Path(__file__).parents[4] / "shared" / "data" / "judged" / "xquad"


@pytest.mark.skipif(not XQUAD.exists(), reason="the judged data are not at hand")
def test_the_answers_to_three_of_four_questions_on_paragraphs_are_in_what_is_quoted() -> None:
    answered = [
        answer.casefold() in quote(question, found).casefold()
        for question, answer, found in islice(_judged(), 0, None, 5)
    ]
    assert len(answered) > 200
    assert sum(answered) / len(answered) >= 0.8


def _judged() -> Iterator[tuple[str, str, tuple[Source, ...]]]:
    """Give each question, its answer, and six paragraphs on its subject, one of which has it."""
    paragraphs = [
        [s.text for section in sections([Cue(line["text"])]) for s in section.sentences]
        for line in _lines("corpus.en.jsonl")
    ]
    rows = (line.split("\t") for line in (XQUAD / "en.tsv").read_text().splitlines()[1:])
    right = {question: int(paragraph) for question, paragraph, _ in rows}
    for line in _lines("queries.en.jsonl"):
        at = right[line["_id"]]
        first = max(0, min(at - 3, len(paragraphs) - 6))
        asked = set(keys(line["text"], "english"))
        near = sorted(
            paragraphs[first : first + 6],
            key=lambda sentences: -len(asked.intersection(keys(" ".join(sentences), "english"))),
        )
        sources = tuple(source(number, *sentences) for number, sentences in enumerate(near, 1))
        yield line["text"], line["metadata"]["answer"], sources


def _lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (XQUAD / name).read_bytes().splitlines()]


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
    deltas: list[Delta] = []
    await ExtractiveModel().stream(prompt, deltas.append)
    assert "".join(d.text for d in deltas) == quote(prompt.query, SOURCES)
    assert len(deltas) > 5
    assert deltas[-1].finish == "stop"


async def test_without_sources_it_says_so() -> None:
    deltas: list[Delta] = []
    await ExtractiveModel().stream(Prompt((), query="x"), deltas.append)
    assert [(d.text, d.finish) for d in deltas] == [(NOTHING_FOUND, "refused")]
