"""Ask one model of a scripted server."""

import asyncio
from typing import Any

import pytest

from app.infra.http.client import HTTPClient
from app.services.models.failures import ModelAttemptFailed
from app.services.models.prompt import Message
from app.services.models.request import ModelConfig
from app.services.models.server import ServedModel
from tests.scripted_model import JSON, Answer, Request, ScriptedModel

RULES, QUESTION = Message("system", "Be brief."), Message("user", "Why is the sky blue?")
EARLIER = (Message("user", "Hi"), Message("assistant", "Hello"))


class Asking:
    """A scripted model; `served` makes a client of it, with changed settings."""

    def __init__(self, model: ScriptedModel, http: HTTPClient) -> None:
        self.model = model
        self.http = http

    def served(self, **changes: Any) -> ServedModel:
        config = ModelConfig(**{"base_url": self.model.base_url, "model": "small"} | changes)
        return ServedModel(self.http, config, config, "small")

    async def ask(self, served: ServedModel, *messages: Message) -> int:
        """Return the status of the response."""
        until = asyncio.get_running_loop().time() + 5
        response = await served.ask(messages or (RULES, QUESTION), until)
        response.close()
        return response.status

    async def failure(self, answer: Answer, **changes: Any) -> ModelAttemptFailed:
        self.model.answers(answer)
        with pytest.raises(ModelAttemptFailed) as failed:
            await self.ask(self.served(**changes))
        return failed.value

    @property
    def last(self) -> Request:
        return self.model.requests[-1]


def error(message: str = "", **members: Any) -> JSON:
    return {"error": {"message": message, **members}}
