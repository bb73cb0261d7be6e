"""Cutting of sections into passages."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.schemas import Sentence
from app.services.ingest.parse.chunk import Passage, chunk_page, chunk_speech
from app.services.ingest.parse.sentences import Section


def section(*words: int, heading: str = "") -> Section:
    return Section(heading, tuple(Sentence(" ".join(["word"] * count)) for count in words))


def timed(seconds: float, *words: int) -> Section:
    """Return consecutive sentences of this many seconds each."""
    return Section(
        "",
        tuple(
            Sentence(" ".join(["word"] * count), place * seconds, (place + 1) * seconds)
            for place, count in enumerate(words)
        ),
    )


def duration(passage: Passage) -> float:
    start, end = passage.sentences[0].start, passage.sentences[-1].end
    assert start is not None
    assert end is not None
    return end - start


def spans(passages: list[Passage]) -> list[tuple[int, int]]:
    return [(one.first_sentence, one.first_sentence + len(one.sentences)) for one in passages]


def test_speech_is_cut_into_overlapping_passages() -> None:
    assert spans(chunk_speech([section(*[10] * 38)])) == [(0, 15), (10, 25), (20, 38)]


def test_slow_speech_is_cut_by_time() -> None:
    slow = chunk_speech([timed(10.0, *[10] * 60)])

    assert [duration(one) for one in slow[:-1]] == [80.0] * (len(slow) - 1)
    assert all(duration(one) <= 100 for one in slow)
    assert spans(slow)[:3] == [(0, 8), (5, 13), (10, 18)]


def test_speech_at_a_usual_pace_is_cut_by_words() -> None:
    assert spans(chunk_speech([timed(4.0, *[10] * 38)])) == [(0, 15), (10, 25), (20, 38)]


def test_long_pause_does_not_make_a_short_passage() -> None:
    early = timed(4.0, *[10] * 30).sentences
    late = [
        Sentence(one.text, one.start + 300, one.end + 300)
        for one in timed(4.0, *[10] * 30).sentences
        if one.start is not None and one.end is not None
    ]

    passages = chunk_speech([Section("", (*early, *late))])

    assert min(len(one.sentences) for one in passages) >= 10


def test_speech_passages_do_not_cross_a_heading() -> None:
    passages = chunk_speech([section(*[10] * 17, heading="One"), section(5, heading="Two")])

    assert [(one.ordinal, one.heading) for one in passages] == [(0, "One"), (1, "Two")]
    assert spans(passages) == [(0, 17), (17, 18)]


def test_page_is_cut_at_its_headings() -> None:
    passages = chunk_page([section(*[20] * 8, heading="One"), section(*[20] * 10, heading="Two")])

    assert [one.heading for one in passages] == ["One", "Two", "Two"]
    assert spans(passages) == [(0, 8), (8, 16), (16, 18)]


def test_short_rest_of_a_page_joins_the_passage_before_it() -> None:
    assert spans(chunk_page([section(100, 60, 20)])) == [(0, 3)]


def test_tiny_section_joins_the_next() -> None:
    passages = chunk_page(
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
    for cut in (chunk_speech, chunk_page):
        passages = cut(sections)

        assert [one.ordinal for one in passages] == list(range(len(passages)))
        covered = set()
        for passage, (start, end) in zip(passages, spans(passages), strict=True):
            assert list(passage.sentences) == everything[start:end]
            covered |= set(range(start, end))
        assert covered == set(range(len(everything)))


@given(SECTIONS)
def test_page_passages_do_not_overlap(sections: list[Section]) -> None:
    found = spans(chunk_page(sections))

    assert all(one[1] == other[0] for one, other in pairwise(found))
