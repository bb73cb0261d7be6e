"""The prompt of a model: chat messages, and the question and sources they were made from."""

from typing import Literal

from msgspec import Struct

from app.schemas import Source


class Message(Struct, frozen=True):
    """One message of a chat completion."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Struct, frozen=True):
    """`messages` for a language model, the other fields for the extractive model.

    `question` is what the user wrote, `query` what was searched for.
    """

    messages: tuple[Message, ...]
    question: str = ""
    query: str = ""
    sources: tuple[Source, ...] = ()
