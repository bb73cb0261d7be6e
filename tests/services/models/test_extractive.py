"""The extractive model answers with sentences of the sources, each with its marker."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.schemas import Source
from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.sentences import build_sections
from app.services.models.completion import Delta
from app.services.models.extractive.model import NOTHING_FOUND, ExtractiveModel, extract_answer
from app.services.models.extractive.ranking import rank_sentences
from app.services.models.prompt import Prompt
from app.services.search.text import stems
from tests.services.samples import source

pytestmark = pytest.mark.anyio


def best_sentence(question: str, *sources: Source) -> str:
    return rank_sentences(question, question, sources, "")[0][1].text


ATTACK = "Set the attack of the side-chain compressor to about 1 ms."
SOURCES = (
    source(1, "Welcome back, everyone.", ATTACK, "Did you hear the attack?", "Bye for now."),
    source(2, "A kick drum has its body at 60 Hz.", "The release follows the tempo."),
)


def test_quotes_the_sentence_that_answers_and_no_greeting_or_question() -> None:
    answer = extract_answer("How fast should the side-chain attack be?", SOURCES)
    assert answer.startswith(f"{ATTACK} [1]")
    assert "Welcome" not in answer
    assert "Did you" not in answer


def test_question_about_a_figure_is_answered_by_a_sentence_with_one() -> None:
    passage = source(1, "The attack of the compressor matters most.", "An attack of 2 ms is safe.")
    assert best_sentence("How fast is the attack?", passage) == "An attack of 2 ms is safe."


def test_duplicate_sentences_are_quoted_once() -> None:
    answer = extract_answer(
        "How fast should the attack be?", (source(1, ATTACK), source(2, ATTACK))
    )
    assert answer == f"{ATTACK} [1]"


def test_follow_up_matches_its_own_words_and_does_not_repeat_earlier_answers() -> None:
    passage = source(1, ATTACK, "Set its release to 100 ms or so.", "Listen to the side-chain.")
    query = "And the release? (attack side-chain compressor)"
    answer = extract_answer(query, (passage,), "And the release?", earlier_answers=ATTACK)
    assert answer.startswith("Set its release to 100 ms or so.")
    assert ATTACK not in answer


def test_urls_and_sentences_with_bracketed_numbers_are_not_quoted() -> None:
    passage = source(
        1, "Attack: https://a.example/attack", "The attack[3] is fast.", "Attack fast."
    )
    assert extract_answer("attack", (passage,)) == "Attack fast. [1]"


def test_quotes_the_beginning_of_a_source_without_a_matching_sentence() -> None:
    assert extract_answer("loudness", (source(1, "One two.", "Three four.", "Five."),)) == (
        "One two. Three four. [1]"
    )


def test_answer_to_a_question_in_the_source_is_quoted_without_any_matching_word() -> None:
    passage = source(
        1,
        "Absorbers stand in every studio that I know of.",
        "How thick must an absorber panel be?",
        "Ten centimetres, with some air behind it, do for most rooms.",
        "Then buy it.",
        "Paint the ceiling in whatever colour the singer likes.",
    )
    answer = extract_answer("How thick must absorber panels be?", (passage,))
    assert answer.startswith("Ten centimetres, with some air behind it, do for most rooms.")
    assert "How thick" not in answer
    assert "ceiling" not in answer


def test_definition_comes_first_for_a_what_is_question() -> None:
    passage = source(
        1,
        "Swing the ghost notes and leave the kick where it is.",
        "The snare on the backbeat stays as loud as it was before.",
        "A ghost note is a very soft stroke between the backbeats.",
    )
    assert best_sentence("What are ghost notes?", passage).startswith("A ghost note is")


def test_sentence_starting_with_a_pronoun_follows_the_sentence_before_it() -> None:
    passage = source(
        1,
        "The Amazon basin holds most of the forest.",
        "It covers 7,000,000 square kilometres of land.",
    )
    assert extract_answer("How many square kilometres has the Amazon basin?", (passage,)) == (
        "The Amazon basin holds most of the forest. "
        "It covers 7,000,000 square kilometres of land. [1]"
    )


def test_words_common_in_questions_count_less_than_the_subject() -> None:
    passage = source(
        1,
        "People find a good way to start their work at any time of day.",
        *(f"The bus to the town number {n} leaves at the old station." for n in range(6)),
        "Every compressor has an attack, and every attack has its sound.",
    )
    question = "What is a good way to start with the attack?"
    assert best_sentence(question, passage).startswith("Every compressor")


def test_answer_is_short() -> None:
    long = [" ".join([f"attack{i}", "attack", *(f"w{i}x{j}" for j in range(38))]) for i in range(9)]
    answer = extract_answer("attack", tuple(source(n, text) for n, text in enumerate(long, 1)))
    assert len(re.sub(r" \[\d\]", "", answer).split()) == 80


def test_of_two_similar_sentences_the_one_of_the_better_source_is_quoted() -> None:
    weak = source(1, "An attack of 5 ms suits every kick drum.", "Listen to the cymbals too.")
    weak = replace(weak, citation=replace(weak.citation, score=0.1))
    good = source(2, "An attack of 2 ms lets no peak through.", "The release may be slower.")
    answer = extract_answer("How fast should the attack be?", (weak, good))
    assert answer.startswith(good.sentences[0].text)
    assert "[1]" not in answer


def test_title_words_count_in_every_sentence_of_the_source() -> None:
    passage = "Set the ratio of the second operator to 1.4 and listen."
    bell = source(2, passage, "Then go on from there as you like.", title="An FM bell")
    bass = source(1, passage.replace("1.4", "2"), "So much for today from us.", title="A bass")
    other = source(3, "A bell has been ringing in the village since the war.", title="Villages")
    assert extract_answer("Which ratio has a bell?", (bass, bell, other)).startswith(
        f"{passage} [2]"
    )


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("How much does the desk cost?", "The desk was 900 dollars.", "The desk has 32 channels."),
        (
            "What share of the desks break?",
            "Of all desks, a third break.",
            "Of the desks, 3 break today.",
        ),
        ("How long do tubes last?", "Tubes last 3 years there.", "Tubes last with 300 volts."),
        ("How many desks are there?", "There are 4 desks here.", "Desks are here for 4 people."),
        ("Wie viele Pulte gibt es?", "Es gibt dort 4 Pulte.", "Pulte gibt es dort für 4 Leute."),
        ("How big is the desk?", "The desk is 2 metres.", "The desk is from 1987."),
        ("When was the desk built?", "The desk was built in 1987.", "The desk was built in May."),
        (
            "When was the desk built?",
            "The desk was built 9 years ago.",
            "The desk was built in May.",
        ),
        ("Who built the desk?", "The desk was built by Ada Sand.", "The desk was built by hand."),
        (
            "Which firm sold desks?",
            "The desks were sold by Zanz.",
            "The desks were sold by a firm.",
        ),
        ("Кто построил пульт?", "Этот пульт построила Ада.", "Этот пульт построила она."),
        (
            "Why is the desk warm?",
            "The desk is warm because it works.",
            "The desk is warm and old.",
        ),
    ],
)
def test_best_sentence_has_the_form_that_the_question_asks_for(
    question: str, answer: str, other: str
) -> None:
    assert best_sentence(question, source(1, other, "Nothing else was said.", answer)) == answer
    assert best_sentence(question, source(1, answer, "Nothing else was said.", other)) == answer


def test_named_speaker_is_preferred() -> None:
    passage = source(1, "The desk sounds warm to all of us.", "The desk sounds warm to many of us.")
    own = replace(passage.sentences[1], speaker="Ada Sand")
    passage = replace(passage, sentences=(passage.sentences[0], own))
    assert best_sentence("How does the desk sound to Ada Sand?", passage) == own.text
    assert best_sentence("How does the desk sound to Ada?", passage) != own.text


def test_incomplete_sentence_scores_lower() -> None:
    passage = source(1, "The desk sounds [unintelligible] to us.", "The desk sounds warm to us.")
    assert best_sentence("How does the desk sound?", passage) == "The desk sounds warm to us."


def test_sentence_whose_surroundings_have_the_question_is_preferred() -> None:
    bus = [f"The bus to the town number {n} leaves at the old station." for n in range(9)]
    passage = source(
        1,
        "The ribbon hums in the cold.",
        *bus,
        "The microphone is here.",
        "A ribbon breaks easily.",
    )
    assert best_sentence("ribbon microphone", passage) == "A ribbon breaks easily."


def test_question_words_of_other_languages_count_little() -> None:
    passage = source(1, "Welche Züge er hat, weiß dort keiner.", "Dieses Pult leuchtet grün.")
    german = replace(passage, language="german")
    assert best_sentence("Welche Farbe hat das Pult?", german) == "Dieses Pult leuchtet grün."


def test_terms_are_weighed_by_their_frequency_in_the_language_of_their_source() -> None:
    spanish = replace(
        source(1, "El tren de la tarde sale de la ciudad.", "La radio de la casa es de madera."),
        language="spanish",
    )
    english = source(2, "Sand says the desk is warm.", *(f"Bus {n} is late." for n in range(9)))
    assert best_sentence("¿Qué dijo Sand de la mesa?", spanish, english).startswith("Sand says")


XQUAD = Path(__file__).parents[4] / "shared" / "data" / "judged" / "xquad"


@pytest.mark.slow
@pytest.mark.skipif(not XQUAD.exists(), reason="the XQuAD data are missing")
def test_most_xquad_answers_are_quoted() -> None:
    answered = [
        answer.casefold() in extract_answer(question, found).casefold()
        for question, answer, found in islice(_judged(), 0, None, 5)
    ]
    assert len(answered) > 200
    assert sum(answered) / len(answered) >= 0.9


def _judged() -> Iterator[tuple[str, str, tuple[Source, ...]]]:
    """Yield questions, their answers, and six paragraphs, one of which has the answer."""
    paragraphs = [
        [s.text for section in build_sections([Cue(line["text"])]) for s in section.sentences]
        for line in _lines("corpus.en.jsonl")
    ]
    rows = (line.split("\t") for line in (XQUAD / "en.tsv").read_text().splitlines()[1:])
    right = {question: int(paragraph) for question, paragraph, _ in rows}
    for line in _lines("queries.en.jsonl"):
        at = right[line["_id"]]
        first = max(0, min(at - 3, len(paragraphs) - 6))
        asked = set(stems(line["text"], "english"))
        near = sorted(
            paragraphs[first : first + 6],
            key=lambda sentences: -len(asked.intersection(stems(" ".join(sentences), "english"))),
        )
        sources = tuple(source(number, *sentences) for number, sentences in enumerate(near, 1))
        yield line["text"], line["metadata"]["answer"], sources


def _lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (XQUAD / name).read_bytes().splitlines()]


WORDS = st.sampled_from(
    """
    attack release kick bass the a of ms fast slow and low It So But who why how 2 three because
    Mara [noise] Yeah
    """.split()
)
SENTENCES = st.tuples(
    st.lists(WORDS, min_size=1, max_size=12).map(" ".join), st.sampled_from([".", "?", "...", ":"])
).map("".join)


@given(
    st.lists(WORDS, min_size=1, max_size=6).map(" ".join),
    st.lists(st.lists(SENTENCES, min_size=1, max_size=9), min_size=1, max_size=4),
)
def test_an_answer_consists_of_sentences_of_the_cited_sources(
    query: str, texts: list[list[str]]
) -> None:
    sources = tuple(source(number, *sentences) for number, sentences in enumerate(texts, 1))
    answer = extract_answer(query, sources)
    if not answer:
        assert not rank_sentences(query, query, sources, "")
        return
    runs = re.findall(r"(\S.*?) \[(\d+)\]", answer)
    for run, number in runs:
        for sentence in re.findall(r"\S.*?[.?,:]+(?= |$)", run):
            assert sentence in texts[int(number) - 1]
        assert run in " ".join(texts[int(number) - 1])
    assert "".join(run for run, _ in runs) == re.sub(r"\s*\[\d+\]\s*", "", answer)


def test_a_sentence_of_a_megabyte_is_not_quoted() -> None:
    passage = source(1, f"An attack of 2 ms {'x' * 1_000_000}.", "An attack of 3 ms is safe.")
    assert extract_answer("How fast is the attack?", (passage,)) == "An attack of 3 ms is safe. [1]"


@pytest.mark.parametrize(
    "junk", ["'", "’ ", "? ", "(", "[", "1", "1,", "1 ", "and ", "A ", "...", "- ", "x", "我", '"']
)
def test_answer_takes_bounded_time_on_adversarial_sentences(junk: str) -> None:
    sentences = [junk * (980 // len(junk)) + end for end in ("", "\nx", "!")] * 20
    began = process_time()
    extract_answer(
        "How many dollars, how long, which x, who and what is a?", (source(1, *sentences),)
    )
    assert process_time() - began < 1


async def test_streams_word_by_word_and_finishes_with_stop() -> None:
    prompt = Prompt((), query="side-chain attack", sources=SOURCES)
    deltas: list[Delta] = []
    await ExtractiveModel().stream(prompt, deltas.append)
    assert "".join(d.text for d in deltas) == extract_answer(prompt.query, SOURCES)
    assert len(deltas) > 5
    assert deltas[-1].finish == "stop"


@pytest.mark.parametrize("sources", [(), (source(1, "A claim with a mark of its own [1]."),)])
async def test_without_a_quotable_sentence_the_answer_is_a_refusal(
    sources: tuple[Source, ...],
) -> None:
    deltas: list[Delta] = []
    await ExtractiveModel().stream(Prompt((), query="x", sources=sources), deltas.append)
    assert [(d.text, d.finish) for d in deltas] == [(NOTHING_FOUND, "refused")]
