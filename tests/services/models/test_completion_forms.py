"""The same answer is decoded from each form in which servers send it."""

import json
from typing import Any

import pytest

from app.services.models.completion import Delta
from tests.services.models.test_completion import piece, whole

PIECES = ("Panels are ", "ten cm ", "<b>thick</b>.")
TEXT = "".join(PIECES)
SO_FAR = (PIECES[0], PIECES[0] + PIECES[1], TEXT)
ANSWER = tuple(map(piece, PIECES))
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


def part(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


ODD_USAGES: list[Any] = [{}, [], "", "1", 1, {"prompt_tokens": {}}]
ODD_CHOICES: list[Any] = [{}, [None], [[]], 1, "x", piece()["choices"][0]]
ODD_DELTAS: list[Any] = [[], "", None, False]
NOISE = ["ping", "", ": PROCESSING", "1", "[]", '"a"', "2025-01-01"]


@pytest.mark.parametrize(
    "chunks",
    [
        ANSWER,
        [piece(None, delta={"role": "assistant"}), *ANSWER],
        [piece([THOUGHT]), *(piece(part(text)) for text in PIECES)],
        [piece([THOUGHT]), *ANSWER],
        [piece([THOUGHT, *part(PIECES[0])]), *ANSWER[1:]],
        [piece(part(PIECES[0])[0]), *ANSWER[1:]],
        [piece(choice={"delta": None, "text": text}) for text in PIECES],
        [piece(choice={"delta": text}) for text in PIECES],
        # All text so far.
        list(map(piece, SO_FAR)),
        list(map(piece, (*SO_FAR, TEXT, ""))),
        [piece(t, choice={"message": {"content": s}}) for t, s in zip(PIECES, SO_FAR, strict=True)],
        [piece(text, choice={"message": {"content": ""}}) for text in PIECES],
        [{"choices": [{"message": {"content": text}}]} for text in SO_FAR],
        [{"choices": [{"message": {"content": text}}]} for text in PIECES],
        [*ANSWER, {"choices": [{"message": {"content": TEXT}}]}],
        [*ANSWER[:2], {"choices": [{"message": {"content": TEXT}}]}],
        [*ANSWER, {"choices": [{"message": {"content": "without thoughts"}}]}],
        # Several choices, and a counter of pieces in place of their index.
        [
            {"choices": [*piece(t)["choices"], {"index": 1, "delta": {"content": "X"}}]}
            for t in PIECES
        ],
        [c for t in PIECES for c in (piece(t), piece("X", "stop", choice={"index": 1}))],
        [piece(text, choice={"index": i}) for i, text in enumerate(PIECES, 1)],
        [piece(text, choice={"index": 1}) for text in PIECES],
        [piece(choice={"index": 1}), *ANSWER],
        # Fields of odd types.
        [piece(text, error=e) for text, e in zip(PIECES, ("", {}, False), strict=True)],
        [
            piece(text, error={"code": 0, "message": ""}, base_resp={"status_code": 0})
            for text in PIECES
        ],
        *([piece(t, usage=u) for t in PIECES] for u in ODD_USAGES),
        [piece(text, False, choice={"index": None, "logprobs": float("-inf")}) for text in PIECES],
        [piece(text, "null") for text in PIECES],
        *([{"choices": odd}, *ANSWER] for odd in ODD_CHOICES),
        *([piece(choice={"delta": odd}), *ANSWER] for odd in ODD_DELTAS),
        # Data that is not JSON, or more than one document.
        *([noise, *ANSWER] for noise in NOISE),
        ["".join(map(json.dumps, ANSWER))],
        ["\n".join(map(json.dumps, ANSWER))],
        ["data: " + json.dumps(chunk) for chunk in ANSWER],
        [list(ANSWER)],
    ],
)
def test_every_form_of_the_same_answer_has_the_same_text(chunks: Any) -> None:
    assert whole(*chunks) == Delta(TEXT, "stop")
