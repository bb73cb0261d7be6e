"""What is sent to an OpenAI-compatible model server, and where."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from app.infra.http.endpoint import Endpoint, api_url
from app.services.models.prompt import Message

RulesRole: TypeAlias = Literal["system", "developer", "user"]

_BEARER = re.compile(r"bearer\s+", re.IGNORECASE)


class ServerConfig(Struct, frozen=True, kw_only=True):
    """A model server.

    `headers` replace those that are sent otherwise, and `extra_body` the members of the body; None
    removes one. `settings` is the start of the names of the server's settings, for the log.
    """

    base_url: str
    api_key: str = ""
    headers: Mapping[str, str | None] = {}
    extra_body: Mapping[str, object] = {}
    settings: str = "LLM_"

    def __repr__(self) -> str:  # Keeps the key out of tracebacks.
        return "ServerConfig(…)"


class ModelConfig(ServerConfig, frozen=True, kw_only=True):
    """Which models to ask, where the first one is, and how to ask them; times in seconds.

    The fallback is a model of the same server unless `fallback_server` is set; an empty
    `fallback_model` then has the name of the first one. An attempt has `first_token_timeout` until
    its first token, and further ones begin for as long. With signs of life, such as comments or
    reasoning, `thinking_timeout` may pass without a token. `attempts` at a model may be paid for;
    those at a busy server are not counted.
    """

    model: str
    fallback_server: ServerConfig | None = None
    fallback_model: str = ""
    rules_role: RulesRole = "system"
    max_tokens: int | None = None
    temperature: float | None = None
    # For short answers, such as rewritten questions: another model of the first server, if any.
    short_model: str = ""
    short_max_tokens: int | None = None
    # Marks around thoughts beside the known ones, such as "<a>…</a>".
    thought_marks: str = ""
    connect_timeout: float = 5.0
    first_token_timeout: float = 60.0
    silence_timeout: float = 20.0
    thinking_timeout: float = 240.0
    attempts: int = 3
    backoff: float = 0.2

    def __repr__(self) -> str:  # Keeps the key out of tracebacks.
        return f"ModelConfig(model={self.model!r}, fallback_model={self.fallback_model!r}, …)"

    @property
    def models(self) -> tuple[tuple[ServerConfig, str], ...]:
        """The servers and names of the first model and of the fallback, if there is one."""
        if not (self.fallback_server or self.fallback_model):
            return ((self, self.model),)
        fallback = (self.fallback_server or self, self.fallback_model or self.model)
        return (self, self.model), fallback

    def alone(self, server: ServerConfig, model: str) -> "ModelConfig":
        """Return the same for one of `models`, without a fallback."""
        members = {name: getattr(server, name) for name in ServerConfig.__struct_fields__}
        return replace(self, **members, model=model, fallback_server=None, fallback_model="")


class RequestForm(Struct, frozen=True):
    """The parts of a request that not every model accepts.

    `rules_role` is the role of the message with the rules; for "user" they are put before the
    user's first message. `answer_limit` is the member with the limit for the answer. `omitted` are
    the members that are left out.
    """

    rules_role: RulesRole = "system"
    answer_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    omitted: frozenset[str] = frozenset()


def endpoint_of(server: ServerConfig) -> Endpoint:
    """Return where requests are sent. Raises ValueError if the base URL is not a URL."""
    headers: dict[str, str | None] = {
        "Accept": "text/event-stream, application/json",
        "Content-Type": "application/json",
    }
    if server.api_key:
        headers["Authorization"] = f"Bearer {_BEARER.sub('', server.api_key, count=1)}"
    own = {name.lower() for name in server.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own}
    headers |= server.headers
    return Endpoint.of(api_url(server.base_url, "/chat/completions"), headers)


def request_body(
    server: ServerConfig,
    config: ModelConfig,
    model: str,
    messages: Sequence[Message],
    form: RequestForm,
    short: bool = False,
) -> dict[str, object]:
    """Return the body of a request to `model`, for a `short` answer or another one."""
    temperature = config.temperature
    body: dict[str, object] = {
        "model": model,
        "messages": _with_rules_role(messages, form.rules_role),
        "stream": True,
        "stream_options": {"include_usage": True},
        form.answer_limit: config.short_max_tokens if short else config.max_tokens,
        # Some models refuse any temperature.
        "temperature": 0.0 if short and temperature is not None else temperature,
    }
    for name in form.omitted:
        body.pop(name, None)
    body |= server.extra_body
    if body.get("stream") is not True:
        # OpenAI rejects options for a stream without one.
        body.pop("stream_options", None)
    return {name: value for name, value in body.items() if value is not None}


def _with_rules_role(messages: Sequence[Message], role: RulesRole) -> Sequence[Message]:
    first, *others = messages
    if first.role != "system" or role == "system":
        return messages
    if role == "user" and others and others[0].role == "user":
        text = f"{first.content}\n\n{others.pop(0).content}"
        return [Message("user", text), *others]
    return [Message(role, first.content), *others]
