"""Pieces that repeat all text so far are told from legitimate repetition."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.infra.http.sse import BadEvent
from app.services.models.repeats import NewText


def added(pieces: list[str]) -> str:
    new = NewText()
    return "".join([*map(new.add, pieces), new.end()])


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["ha", "haha", "ha"], "hahahaha"),
        (["1", "12", "123"], "112123"),
        (["No.", "No. Never.", " Not once."], "No.No. Never. Not once."),
        (["Panels are", "Panels are ten", "Panels are ten cm"], "Panels are ten cm"),
        (["Panels are ten", "Panels are ten cm"], "Panels are ten cm"),
        (["P", "Pa", "Panels are te", "Panels are ten"], "Panels are ten"),
    ],
)
def test_only_repetition_that_cannot_be_chance_is_removed(pieces: list[str], text: str) -> None:
    assert added(pieces) == text


@given(st.lists(st.text("ab", max_size=12)))
def test_short_pieces_are_never_removed(pieces: list[str]) -> None:
    assert added(pieces) == "".join(pieces)


@given(st.lists(st.text("ab ", min_size=13), min_size=2))
def test_all_text_so_far_is_passed_on_once(pieces: list[str]) -> None:
    assert added(list(accumulate(pieces))) == "".join(pieces)


def test_a_piece_that_no_longer_repeats_all_text_fails() -> None:
    with pytest.raises(BadEvent):
        added([*accumulate(["Panels are ", "ten ", "cm "]), "thick."])


def test_text_is_settled_after_its_second_piece() -> None:
    new = NewText()
    new.add("a")
    assert not new.settled
    new.add("b")
    assert new.settled
