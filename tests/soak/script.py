"""The questions and the model's answers, both derived from a number.

So the model and the checks know each answer without exchanging it. Each word of an answer carries
its position.
"""

import re

# Questions that the sample library answers.
QUESTIONS = (
    "How fast should the attack be when I side-chain the bass to the kick?",
    "How much headroom should a mix have before mastering?",
    "How far from the twelfth fret do I place a microphone for an acoustic guitar?",
    "Where does sibilance lie, and how is a de-esser set?",
    "How much swing should hip-hop drums have?",
    "How wide is a real double of a vocal?",
)
# Tokens of an answer.
MIN_TOKENS, MAX_TOKENS = 150, 300

_NUMBER = re.compile(r"\(no\. (\d+)\)")


def question(number: int) -> str:
    """Return the text of a question."""
    return f"{QUESTIONS[number % len(QUESTIONS)]} (no. {number})"


def number_in(text: str) -> int | None:
    """Return the number of the last question in a prompt, or None."""
    numbers = _NUMBER.findall(text)
    return int(numbers[-1]) if numbers else None


def length(number: int) -> int:
    """Return the number of tokens of an answer, evenly distributed over the range."""
    return MIN_TOKENS + number * 7919 % (MAX_TOKENS - MIN_TOKENS + 1)


def answer(number: int) -> list[str]:
    """Return the tokens of an answer, without brackets, which could be citations."""
    return [f"No. {number}:", *(f" w{position}" for position in range(1, length(number)))]
