"""Citation markers of existing sources pass the filter, however the text is split."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.services.chat.citations import CitationFilter, strip_markers


def run(pieces: list[str], sources: int = 3) -> tuple[str, list[tuple[int, int, int]]]:
    citations = CitationFilter(sources)
    text = "".join(citations.feed(piece) for piece in pieces) + citations.flush()
    return text, [(span.number, span.start, span.end) for span in citations.spans]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Cut 3 dB [1].", "Cut 3 dB [1]."),
        ("Cut [9], then boost [0].", "Cut, then boost."),
        ("Both say so [1, 3].", "Both say so [1][3]."),
        ("One of them does [2, 7].", "One of them does [2]."),
        ("All of them [1-3] [1–9].", "All of them [1][2][3] [1][2][3]."),
        ("A link [[2]](https://a.example/x) here", "A link [2] here"),
        ("A link [2](https://a.example/x) here", "A link [2] here"),
        ("A trap [2](javascript:alert) here", "A trap [2] here"),
        ("A footnote [^1]", "A footnote [1]"),
        ("A range backwards [3-1]", "A range backwards [3]"),
        ("Cut by the end [1", "Cut by the end"),
        ("Cut by the end [12", "Cut by the end"),
        ("A number too far [123456789]", "A number too far"),
        ("A mark in another [12[7]] [1[2]]", "A mark in another 12] 1[2]]"),
        ("A mark that closes up [[9]9] [[9]12]", "A mark that closes up [[]9] [[]12]"),
        ("A number too long [99999999999999999999]", "A number too long"),
        ("Many [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "Many [1][2][3]"),
        ("Loosely [1  9] [  9] [9  ] [9-] [9;;10] [1,  2]", "Loosely [1] [1][2]"),
    ],
)
def test_citations_are_normalized_and_limited_to_known_sources(written: str, expected: str) -> None:
    assert run([written])[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "[Verse 1] and [link](https://a.example) and arr[i] and [ ] and []",
        "a clock [0:12] and [[wiki]] and [a][b]",
        "an open [ bracket and another [",
        "音楽 [第一] 🎛️ [ok]",
        "  spaces   stay  ",
    ],
)
def test_bracketed_text_that_is_not_a_citation_passes_unchanged(text: str) -> None:
    assert run([text]) == (text, [])


def test_positions_are_counted_in_code_points() -> None:
    text, spans = run(["🎛️ 低音 [2] ok [1]"])
    assert [text[start:end] for _, start, end in spans] == ["[2]", "[1]"]


PARTS = [
    *"[]129, -()^aé🎛\n",
    "[[",
    "]]",
    "[1]",
    "[1, 3]",
    "[[1]](http://x)",
    "[12",
    "(https://x/y)",
]
MIXED = st.lists(st.sampled_from(PARTS), max_size=24).map("".join)


@given(MIXED, st.lists(st.integers(0, 60), max_size=8))
@example("a [1] b [9]. c [1, 3] d [[2]](http://x.y/z) e [12", [9])
def test_result_does_not_depend_on_where_the_text_is_split(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert run(pieces) == run([text]) == run(list(text))


@given(MIXED, st.integers(0, 12))
def test_every_marker_names_an_existing_source(text: str, sources: int) -> None:
    filtered, spans = run(list(text), sources)
    assert all(1 <= number <= sources for number, _, _ in spans)
    assert [filtered[start:end] for _, start, end in spans] == re.findall(r"\[\d+\]", filtered)


def test_held_back_marker_is_released_as_soon_as_it_is_certain() -> None:
    citations = CitationFilter(1)
    assert [citations.feed(piece) for piece in ("a ", "[", "1", "]", ".")] == [
        "a",
        "",
        "",
        "",
        " [1].",
    ]


def test_strip_markers_removes_the_space_before_them() -> None:
    assert strip_markers("Cut 3 dB [1][2]. Then [3] wait.") == "Cut 3 dB. Then wait."
