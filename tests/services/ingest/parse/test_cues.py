"""Clock times, and the interpolation of missing ones."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.ingest.parse.cues import Cue, fill_times, parse_clock


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("01:02:03", 3723.0),
        ("1:02:03.5", 3723.5),
        ("00:00:01,250", 1.25),
        ("03:36", 216.0),
        ("75:30", 4530.0),
        ("00:00:02;15", 2.5),
        ("00:00:05:15", 5.5),
        ("00.14:52", 892.0),
        ("12:75", None),
        ("01:75:00", None),
        ("noon", None),
    ],
)
def test_clock_times_are_parsed(clock: str, expected: float | None) -> None:
    assert parse_clock(clock) == expected


def test_cue_ends_where_the_next_begins_unless_it_has_an_end() -> None:
    cues = fill_times([Cue("one two", 1.0), Cue("three", 5.0, 6.0), Cue("four", 9.0, 99.0)])

    assert [(cue.start, cue.end) for cue in cues] == [(1.0, 5.0), (5.0, 6.0), (9.0, 99.0)]


def test_missing_times_are_interpolated_by_words() -> None:
    cues = fill_times([Cue("a b"), Cue("c d", 10.0), Cue("e f g h i j"), Cue("k", 18.0)])

    assert [cue.start for cue in cues] == [0.0, 10.0, 12.0, 18.0]
    # After the last time, 150 words per minute.
    assert cues[-1].end == pytest.approx(18.4)


def test_break_ends_the_speech_before_it_and_starts_the_speech_after_it() -> None:
    cues = fill_times([Cue("a b", 0.0), Cue("", 93.0), Cue("", 180.0), Cue("c"), Cue("d", 190.0)])

    assert [(cue.text, cue.start, cue.end) for cue in cues[:2]] == [
        ("a b", 0.0, 93.0),
        ("c", 180.0, 190.0),
    ]


def test_time_out_of_order_is_ignored() -> None:
    cues = fill_times([Cue("a", 1.0), Cue("b", 2.0), Cue("c", 3600.0), Cue("d", 4.0)])

    assert [cue.start for cue in cues] == [1.0, 2.0, 3.0, 4.0]


def test_cues_without_any_time_stay_without_times() -> None:
    assert fill_times([Cue("a"), Cue(""), Cue("b")]) == [Cue("a"), Cue("b")]


@given(
    st.lists(
        st.builds(
            Cue,
            st.sampled_from(["", "one", "two words", "and now three"]),
            st.none() | st.floats(0, 9999),
            st.none() | st.floats(0, 9999),
        )
    )
)
def test_filled_times_ascend(cues: list[Cue]) -> None:
    filled = fill_times(cues)

    assert [cue.text for cue in filled] == [cue.text for cue in cues if cue.text]
    times = [time for cue in filled for time in (cue.start, cue.end) if time is not None]
    assert len(times) in (0, 2 * len(filled))
    assert all(one <= other + 1e-6 for one, other in pairwise(times))
