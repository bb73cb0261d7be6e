"""The prompt that a model answers: chat messages, and what they were made from."""

from typing import Literal

from msgspec import Struct

from app.schemas import Source


class Message(Struct, frozen=True):
    """One message of a chat completion."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Struct, frozen=True):
    """What an answer is made from: `messages` for a model, the rest for one who quotes.

    `question` is what the person wrote, `query` what was searched for it.
    """

    messages: tuple[Message, ...]
    question: str = ""
    query: str = ""
    sources: tuple[Source, ...] = ()
