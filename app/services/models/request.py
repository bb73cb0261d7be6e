"""What is sent to an OpenAI-compatible model server, and where."""

import msgspec
from msgspec import Struct

from app.infra.http.endpoint import Endpoint
from app.services.models.prompt import Prompt


class ModelConfig(Struct, frozen=True, kw_only=True):
    """Where the model is and how to call it; times in seconds.

    An attempt has `first_token_timeout` until its first token, and further ones begin for as long.
    With signs of life, such as comments or reasoning, `thinking_timeout` may pass without a token.
    `attempts` at a model may be paid for; those at a busy server are not counted.
    """

    base_url: str
    model: str
    fallback_model: str = ""
    api_key: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    connect_timeout: float = 5.0
    first_token_timeout: float = 60.0
    silence_timeout: float = 20.0
    thinking_timeout: float = 240.0
    attempts: int = 3
    backoff: float = 0.2

    def __repr__(self) -> str:  # Keeps the key out of tracebacks.
        return f"ModelConfig(model={self.model!r}, fallback_model={self.fallback_model!r}, …)"


def endpoint_of(config: ModelConfig) -> Endpoint:
    """Return where requests are sent. Raises ValueError if the base URL is not a URL."""
    base_url = config.base_url.rstrip("/").removesuffix("/chat/completions")
    headers = {"Content-Type": "application/json"}
    if config.api_key:
        headers["Authorization"] = f"Bearer {config.api_key}"
    return Endpoint.of(f"{base_url}/chat/completions", headers)


def encode_request(config: ModelConfig, model: str, prompt: Prompt) -> bytes:
    """Encode the JSON body of a request to `model`."""
    body: dict[str, object] = {
        "model": model,
        "messages": prompt.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
    }
    return msgspec.json.encode({k: v for k, v in body.items() if v is not None})
