"""Sections are cut into passages of whole sentences."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.schemas import Sentence
from app.services.ingest.parse.chunk import Passage, page_passages, speech_passages
from app.services.ingest.parse.sentences import Section


def section(*words: int, heading: str = "") -> Section:
    return Section(heading, tuple(Sentence(" ".join(["word"] * count)) for count in words))


def timed(seconds: float, *words: int) -> Section:
    """Sentences that each take so long, one after the other."""
    return Section(
        "",
        tuple(
            Sentence(" ".join(["word"] * count), place * seconds, (place + 1) * seconds)
            for place, count in enumerate(words)
        ),
    )


def lasts(passage: Passage) -> float:
    start, end = passage.sentences[0].start, passage.sentences[-1].end
    assert start is not None
    assert end is not None
    return end - start


def spans(passages: list[Passage]) -> list[tuple[int, int]]:
    return [(one.first_sentence, one.first_sentence + len(one.sentences)) for one in passages]


def test_speech_is_cut_into_minutes_that_overlap() -> None:
    assert spans(speech_passages([section(*[10] * 38)])) == [(0, 15), (10, 25), (20, 38)]


def test_a_slow_speaker_is_cut_by_time() -> None:
    slow = speech_passages([timed(10.0, *[10] * 60)])

    assert [lasts(one) for one in slow[:-1]] == [80.0] * (len(slow) - 1)
    assert all(lasts(one) <= 100 for one in slow)
    assert spans(slow)[:3] == [(0, 8), (5, 13), (10, 18)]


def test_a_usual_speaker_is_cut_by_words() -> None:
    assert spans(speech_passages([timed(4.0, *[10] * 38)])) == [(0, 15), (10, 25), (20, 38)]


def test_a_long_pause_leaves_no_passage_of_a_few_words() -> None:
    said = timed(4.0, *[10] * 30).sentences
    late = [
        Sentence(one.text, one.start + 300, one.end + 300)
        for one in timed(4.0, *[10] * 30).sentences
        if one.start is not None and one.end is not None
    ]

    passages = speech_passages([Section("", (*said, *late))])

    assert min(len(one.sentences) for one in passages) >= 10


def test_speech_never_crosses_a_heading() -> None:
    passages = speech_passages([section(*[10] * 17, heading="One"), section(5, heading="Two")])

    assert [(one.ordinal, one.heading) for one in passages] == [(0, "One"), (1, "Two")]
    assert spans(passages) == [(0, 17), (17, 18)]


def test_a_page_is_cut_by_its_headings() -> None:
    passages = page_passages(
        [section(*[20] * 8, heading="One"), section(*[20] * 10, heading="Two")]
    )

    assert [one.heading for one in passages] == ["One", "Two", "Two"]
    assert spans(passages) == [(0, 8), (8, 16), (16, 18)]


def test_a_tiny_rest_of_a_page_is_not_on_its_own() -> None:
    assert spans(page_passages([section(100, 60, 20)])) == [(0, 3)]


def test_a_tiny_section_joins_what_follows() -> None:
    passages = page_passages(
        [
            section(5, heading="One"),
            section(50, heading="One > Deep"),
            section(5, heading="Two"),
            section(50, heading="Three"),
            section(5, heading="Four"),
        ]
    )

    assert [one.heading for one in passages] == ["One > Deep", "Two · Three · Four"]
    assert spans(passages) == [(0, 2), (2, 5)]


SECTIONS = st.lists(
    st.builds(
        lambda words, heading: section(*words, heading=heading),
        st.lists(st.integers(1, 200), min_size=1, max_size=60),
        st.sampled_from(["", "One", "Two"]),
    ),
    max_size=6,
)


@given(SECTIONS)
def test_every_sentence_is_in_a_passage(sections: list[Section]) -> None:
    everything = [one for part in sections for one in part.sentences]
    for cut in (speech_passages, page_passages):
        passages = cut(sections)

        assert [one.ordinal for one in passages] == list(range(len(passages)))
        covered = set()
        for passage, (start, end) in zip(passages, spans(passages), strict=True):
            assert list(passage.sentences) == everything[start:end]
            covered |= set(range(start, end))
        assert covered == set(range(len(everything)))


@given(SECTIONS)
def test_a_page_says_nothing_twice(sections: list[Section]) -> None:
    found = spans(page_passages(sections))

    assert all(one[1] == other[0] for one, other in pairwise(found))
