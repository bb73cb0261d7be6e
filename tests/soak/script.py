"""The number of a question comes in; its words, and what the paced model says to it, go out. Pure.

Both sides know from the number alone what is to be said, so that nothing need be kept or compared
over a wire. Each word of an answer carries its place in it.
"""

import re

# What the sample library has something to say on.
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
    """Word the question of this number."""
    return f"{QUESTIONS[number % len(QUESTIONS)]} (no. {number})"


def number_in(text: str) -> int | None:
    """Return the number of the question that a prompt ends with."""
    numbers = _NUMBER.findall(text)
    return int(numbers[-1]) if numbers else None


def length(number: int) -> int:
    """Return how many tokens the answer has: spread evenly over what it may have."""
    return FEWEST + number * 7919 % (MOST - FEWEST + 1)


def answer(number: int) -> list[str]:
    """Return the tokens of the answer; no brackets, which the service would look into."""
    return [f"No. {number}:", *(f" w{place}" for place in range(1, length(number)))]
