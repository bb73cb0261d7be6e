"""Thoughts at the start of a model's text are removed, however it is split into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.infra.http.sse import BadEvent
from app.services.models.thoughts import (
    MAX_KEPT,
    LoneClosingMark,
    ThoughtFilter,
    ThoughtMarks,
    begins_with_thoughts,
)

MARKS = ThoughtMarks("<plan>…</plan> ((...))")
FINAL = "<|channel|>final<|message|>"
ANALYSIS = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"


def filtered(*pieces: str, hold: bool = False) -> str:
    thoughts = ThoughtFilter(MARKS, hold)
    return "".join([*map(thoughts.add, pieces), thoughts.add("", last=True)])


def in_every_split(text: str, hold: bool = False) -> set[str]:
    halves = ((text[:i], text[i:]) for i in range(len(text)))
    return {filtered(*text, hold=hold), *(filtered(*half, hold=hold) for half in halves)}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" <think>Hm. <b></think>  Yes <think>no</think>", "Yes <think>no</think>"),
        *(
            (f"<{tag}>Hm.</{tag}>\n\nYes", "Yes")
            for tag in ("think", "thinking", "thought", "Think")
        ),
        ("<seed:think>Hm.</seed:think>Yes", "Yes"),
        ('<think time="3">Hm.</think>Yes', "Yes"),
        ("[THINK]Hm.[/THINK]Yes", "Yes"),
        ("<think></think>Yes", "Yes"),
        ("<think>Hm.</think>\n<think>Hm.</think>\nYes", "Yes"),
        ("</think>\n\nYes", "Yes"),
        (f"{ANALYSIS}{FINAL}Yes", "Yes"),
        (f"<|start|>assistant{ANALYSIS}{FINAL}Yes<|return|>", "Yes"),
        (f"{FINAL}Yes", "Yes"),
        ("<plan>Hm.</plan>Yes", "Yes"),
        ("((Hm.))Yes", "Yes"),
        ("<think>Hm. </thin", ""),
        ("<think>Hm.", ""),
        ("  \n", ""),
        ("Yes<|im_end|>\n", "Yes"),
        ("Yes<|eot_id|>", "Yes"),
        *((text, text) for text in ("<", "<thi", "< think> a", "<thinker> a", "<b>a</b>", " a")),
        *((text, text) for text in ("a < b", "a<think>", "a <think></think> b")),
        *((text, text) for text in ("Use <|im_end|> here", "[1] a", "[", "(a)")),
    ],
)
def test_thoughts_are_removed_from_the_start(text: str, answer: str) -> None:
    assert in_every_split(text) == {answer}


def test_a_mark_in_backticks_is_a_part_of_the_answer() -> None:
    assert filtered("a", " b", "It ends with `</think>`, as", " said.") == (
        "a bIt ends with `</think>`, as said."
    )


def test_unmarked_thoughts_are_removed_from_text_that_is_held_back() -> None:
    assert in_every_split("Okay, <b>.\n</think>\n\nYes", hold=True) == {"Yes"}
    assert in_every_split("Just the answer.", hold=True) == {"Just the answer."}
    assert filtered("Okay.</think>Yes") == "Yes"


@pytest.mark.parametrize("text", ["Okay, the", "<think>Okay, the", "Okay, the </thin"])
def test_text_that_is_held_back_and_cut_may_be_thoughts(text: str) -> None:
    thoughts = ThoughtFilter(MARKS, hold=True)
    assert thoughts.add(text) == ""
    assert thoughts.add("", last=True, cut=True) == ""
    assert not thoughts.answered


def test_whether_thoughts_have_no_opening_mark_is_known_at_the_end() -> None:
    for text, unmarked in (("Hm.</think>Yes", True), ("Yes", False), ("<think>Hm.</think>", None)):
        thoughts = ThoughtFilter(MARKS, hold=True)
        assert thoughts.unmarked is None
        thoughts.add(text)
        thoughts.add("", last=True)
        assert thoughts.unmarked is unmarked


def test_a_closing_mark_after_a_part_of_the_answer_fails() -> None:
    thoughts = ThoughtFilter(MARKS)
    assert thoughts.add("Okay, the user ") == "Okay, the user "
    assert thoughts.add("asks. </th") == "asks. "

    with pytest.raises(LoneClosingMark):
        thoughts.add("ink>Yes")
    assert thoughts.unmarked


def test_text_is_not_held_back_if_the_thoughts_are_elsewhere() -> None:
    thoughts = ThoughtFilter(MARKS, hold=True)
    thoughts.found_elsewhere()

    assert thoughts.add("Yes") == "Yes"
    assert thoughts.plain
    assert not thoughts.unmarked


def test_models_without_an_opening_mark_are_known_by_name() -> None:
    names = ("deepseek-r1:7b", "DeepSeek-R1-Distill-Qwen-7B", "QwQ-32B", "Qwen3-4B-Thinking-2507")
    others = ("deepseek-chat", "qwen3:8b", "r15", "gpt-4o", "gemini-flash-thinking", "smollm2")

    assert all(map(begins_with_thoughts, names))
    assert not any(map(begins_with_thoughts, others))


TEXTS = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<",
            "a",
            " ",
            "[THINK]",
            "[/THINK]",
            "\ud83d",
            "\ude00",
            "é",
            FINAL,
        ]
    )
    | st.text(max_size=3)
).map("".join)


@given(TEXTS, st.lists(st.integers(1, 9), min_size=1))
def test_held_text_is_the_same_in_every_split(text: str, sizes: list[int]) -> None:
    pieces: list[str] = []
    rest = text
    while rest:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(rest[:size])
        rest = rest[size:]

    assert filtered(*pieces, hold=True) == filtered(text, hold=True)


def test_a_closing_mark_alone_says_that_text_begins_with_thoughts() -> None:
    assert not MARKS.unmarked
    marks = ThoughtMarks("…</plan> ((…))")
    assert marks.unmarked
    thoughts = ThoughtFilter(marks, hold=True)
    assert thoughts.add("First we ") + thoughts.add("plan.</plan> Yes", last=True) == " Yes".strip()
    assert ThoughtFilter(marks).add("((a)) Yes", last=True).strip() == "Yes"


def test_endless_text_that_may_be_thoughts_is_not_kept() -> None:
    thoughts = ThoughtFilter(MARKS, hold=True)
    with pytest.raises(BadEvent, match="1,000,000"):
        list(map(thoughts.add, ["a" * 1_000] * (MAX_KEPT // 1_000 + 2)))
