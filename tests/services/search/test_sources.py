"""Sources: numbers, snippets, and links that start at the right second."""

import pytest
from msgspec.structs import replace

from app.schemas import Sentence
from app.services.search.sources import build_sources, url_at
from tests.services.search.passages import passage


def test_best_sources_are_kept_and_numbered_from_1() -> None:
    found = [passage(n, 0, 0, f"word{n}", score=n / 10) for n in range(5)]
    assert [s.citation.score for s in build_sources(found, "?", 2)] == [0.4512, 0.3624]
    assert [s.citation.number for s in build_sources(found, "?", 2)] == [1, 2]


def test_merged_passages_are_one_source_with_all_their_seconds() -> None:
    found = [passage(1, 3, 5, "c", "d", "e"), passage(1, 2, 3, "a", "b", "c", "d")]
    (source,) = build_sources(found, "?", 10)
    assert (source.citation.start_seconds, source.citation.end_seconds) == (3.0, 8.0)


def test_snippet_has_the_best_sentence_and_whole_sentences_around_it() -> None:
    texts = ("Hello all." * 200, "Now then.", "Set the attack to 5 ms.", "Then listen." * 10)
    citation = build_sources([passage(1, 0, 0, *texts)], "How fast an attack?", 1)[0].citation
    assert citation.snippet == " ".join(texts[1:])
    assert citation.start_seconds == 2.0
    texts = ("Hello all.", "Now then.", "Set the attack to 5 ms.", "Then listen." * 200)
    citation = build_sources([passage(1, 0, 0, *texts)], "How fast an attack?", 1)[0].citation
    assert citation.snippet == " ".join(texts[:3])
    # What comes before the start only fills a short snippet.
    texts = ("Hello all." * 50, "Now then.", "Set the attack to 5 ms.", "Then listen." * 60)
    citation = build_sources([passage(1, 0, 0, *texts)], "How fast an attack?", 1)[0].citation
    assert citation.snippet == " ".join(texts[1:])


def test_source_starts_at_the_sentence_that_matches_the_question() -> None:
    texts = ("Hello all.", "A fast attack clicks.", "Well, an attack of 5 ms is fast.", "Bye.")
    citation = build_sources([passage(1, 0, 40, *texts)], "How fast an attack?", 1)[0].citation
    assert (citation.start_seconds, citation.end_seconds) == (41.0, 44.0)
    assert citation.url == "https://www.youtube.com/watch?v=abc&t=41"


def test_source_starts_before_the_best_sentence_where_the_answer_begins() -> None:
    texts = (
        "Hello all.",
        "A snare needs a transient.",
        "So you leave the first ten milliseconds alone.",
        "That is how a snare keeps its transient under compression.",
    )
    question = "snare transient under compression"
    citation = build_sources([passage(1, 0, 0, *texts)], question, 1)[0].citation
    assert citation.start_seconds == 1.0


def test_rare_terms_decide_where_a_source_starts() -> None:
    texts = (
        "The compressor has a release.",
        "This compressor is old.",
        "Its release breathes with the drums and cymbals.",
        "The compressor and its release are grey.",
        *(f"A compressor, its release and number {n}." for n in range(9)),
    )
    question = "compressor release drums cymbals"
    citation = build_sources([passage(1, 0, 0, *texts)], question, 1)[0].citation
    assert citation.start_seconds == 2.0


def test_rarity_of_terms_is_measured_across_all_sources() -> None:
    texts = passage(1, 0, 0, "Vocals want a ratio.", "Drums want a gate.")
    about_drums = passage(2, 0, 0, *(f"Drums are drums {n}." for n in range(9)), score=0.4)
    alone, _ = build_sources([texts, about_drums], "ratio or drums", 2)
    assert alone.citation.start_seconds == 0.0
    about_ratios = passage(2, 0, 0, *(f"A ratio is a ratio {n}." for n in range(9)), score=0.4)
    alone, _ = build_sources([texts, about_ratios], "ratio or drums", 2)
    assert alone.citation.start_seconds == 1.0


def test_source_without_a_matching_sentence_starts_at_its_beginning() -> None:
    citation = build_sources([passage(1, 0, 7, "Hello all.", "Bye.")], "Reverb?", 1)[0].citation
    assert citation.start_seconds == 7.0


def test_matching_sentence_is_found_in_merged_passages() -> None:
    found = [
        passage(1, 0, 0, "We met in May.", "It rained.", "So we stayed."),
        passage(1, 1, 2, "So we stayed.", "The snare was tuned to a fifth.", "And so on."),
    ]
    citation = build_sources(found, "How was the snare tuned?", 1)[0].citation
    assert (citation.start_seconds, citation.end_seconds) == (3.0, 5.0)


def test_long_sentence_is_cut_at_a_word() -> None:
    snippet = build_sources([passage(1, 0, 0, "word " * 500)], "?", 1)[0].citation.snippet
    assert len(snippet) <= 2_000
    assert snippet.endswith("word…")


def test_page_has_no_times_and_keeps_its_url() -> None:
    page = replace(passage(1, 0, 0, "a"), kind="page", sentences=(Sentence("a"),))
    citation = build_sources([page], "?", 1)[0].citation
    assert citation.start_seconds is None
    assert citation.end_seconds is None
    assert citation.url == "https://www.youtube.com/watch?v=abc"


@pytest.mark.parametrize(
    ("url", "at"),
    [
        ("https://www.youtube.com/watch?v=a&t=5s", "https://www.youtube.com/watch?v=a&t=83"),
        ("https://youtu.be/a", "https://youtu.be/a?t=83"),
        ("https://pods.example/7", "https://pods.example/7#t=83"),
        ("https://pods.example/7#part", "https://pods.example/7#part"),
    ],
)
def test_url_starts_at_the_given_second(url: str, at: str) -> None:
    assert url_at(url, 83.9) == at
