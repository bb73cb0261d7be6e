"""The prompt of a model: chat messages, and the question and sources they were made from."""

from typing import Literal

from msgspec import Struct

from app.errors import ModelFailed
from app.schemas import Source


class Message(Struct, frozen=True):
    """One message of a chat completion."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class Prompt(Struct, frozen=True):
    """`messages` for a language model, the other fields for the extractive model.

    `question` is what the user wrote, `query` what was searched for.
    """

    messages: tuple[Message, ...]
    question: str = ""
    query: str = ""
    sources: tuple[Source, ...] = ()


class PromptTooLong(ModelFailed):
    """A prompt is longer than the model's context; `prompt` is that prompt."""

    def __init__(self, prompt: Prompt) -> None:
        super().__init__(
            "The question and its sources are too long for the language model. Ask a shorter"
            " question, or start a new conversation.",
            retryable=False,
        )
        self.prompt = prompt
