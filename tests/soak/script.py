"""Questions and their scripted answers, by number. Pure.

Clients and model derive both from the number, so they need not exchange anything else. Each word
of an answer contains its position.
"""

import re

# Topics of the sample library.
QUESTIONS = (
    "How fast should the attack be when I side-chain the bass to the kick?",
    "How much headroom should a mix have before mastering?",
    "How far from the twelfth fret do I place a microphone for an acoustic guitar?",
    "Where does sibilance lie, and how is a de-esser set?",
    "How much swing should hip-hop drums have?",
    "How wide is a real double of a vocal?",
)
# Tokens of an answer.
FEWEST, MOST = 150, 300

_NUMBER = re.compile(r"\(no\. (\d+)\)")


def question(number: int) -> str:
    """Return the question with this number."""
    return f"{QUESTIONS[number % len(QUESTIONS)]} (no. {number})"


def number_in(text: str) -> int | None:
    """Return the number of the question that a prompt ends with."""
    numbers = _NUMBER.findall(text)
    return int(numbers[-1]) if numbers else None


def length(number: int) -> int:
    """Return the number of tokens of the answer; lengths are spread evenly."""
    return FEWEST + number * 7919 % (MOST - FEWEST + 1)


def answer(number: int) -> list[str]:
    """Return the tokens of the answer, without brackets, which would be citations."""
    return [f"No. {number}:", *(f" w{place}" for place in range(1, length(number)))]
