"""The environment comes in; one frozen `Settings` goes out, with its secrets masked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from app.infra.http.endpoint import Endpoint

Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]

_SECRETS_IN_URL = re.compile(r"(?<=://).*@|(?<=password=)[^&]*|(?<=key=)[^&]*|(?<=token=)[^&]*")

# What msgspec says of a text that is none of these, in words for whoever set it.
_WANTED = {
    "Expected `int`, got `str`": "must be a whole number",
    "Expected `float`, got `str`": "must be a number",
    "Expected `bool`, got `str`": "must be true or false",
}
_SCHEMES = {
    "database_url": ("postgresql://", "postgres://"),
    "llm_base_url": ("http://", "https://"),
    "embedding_base_url": ("http://", "https://"),
}


class SettingsError(ValueError):
    """A variable of the environment cannot be used; the message names it and says why."""


class Settings(Struct, frozen=True, kw_only=True):
    """All settings. Each is read from the variable of its name in capitals; times in seconds."""

    # Where to listen, where to keep what the embedded servers keep.
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    data_dir: Path = Path(".data")

    # Real servers. What is empty is embedded (`serve`), or the library's quoting answerer.
    database_url: str = ""
    database_pool: Count = 10
    database_timeout: Seconds = 5.0
    redis_url: str = ""
    memory_timeout: Seconds = 1.0
    llm_base_url: str = ""
    llm_model: str = ""
    llm_fallback_model: str = ""
    llm_api_key: str = ""
    # Sent only where they are set: some models refuse them.
    llm_max_tokens: Count | None = None
    llm_temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    llm_connect_timeout: Seconds = 5.0
    llm_first_token_timeout: Seconds = 30.0
    llm_silence_timeout: Seconds = 20.0
    llm_answer_timeout: Seconds = 300.0
    condense_timeout: Seconds = 2.0

    # What makes passages comparable by meaning: wordllama (also where it is empty and installed),
    # minilm, none, or any model of an OpenAI-compatible server. The time is for one question.
    embedding_model: str = ""
    embedding_base_url: str = ""
    embedding_api_key: str = ""
    embedding_timeout: Seconds = 0.5
    # The part of a passage's score that its words have, the rest is its meaning's; empty: 0.6 with
    # wordllama, 0.4 else.
    alpha: Annotated[float, Meta(ge=0, le=1)] | None = None

    # What an answer is made from.
    max_sources: Annotated[int, Meta(ge=1, le=50)] = 6
    max_passages_per_document: Count = 6
    history_tokens: Annotated[int, Meta(ge=0)] = 1_500

    # How many turns one worker runs at once, and how long things live.
    max_turns: Count = 1_000
    memory_turns: Count = 10
    memory_ttl: Count = 3_600
    turn_grace: Seconds = 60.0
    turn_replay: Seconds = 300.0
    # How long a worker that gives no sign counts as alive; how long one that is to end lets its
    # answers go on.
    turn_lease: Seconds = 3.0
    drain_time: Seconds = 30.0
    body_timeout: Seconds = 5.0
    heartbeat: Seconds = 15.0
    send_timeout: Seconds = 30.0

    # Questions a minute from one address; 0 sets no limit.
    rate_limit: Annotated[int, Meta(ge=0)] = 0

    log_format: Literal["auto", "text", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __repr__(self) -> str:
        shown = (
            f"{name}={_masked(name, getattr(self, name))!r}" for name in self.__struct_fields__
        )
        return f"Settings({', '.join(shown)})"

    @property
    def url(self) -> str:
        """Where the service is found from this machine."""
        every = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = every.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings; an empty variable counts as not set. Raises SettingsError."""
        given = {
            name: environment[name.upper()].strip()
            for name in cls.__struct_fields__
            if environment.get(name.upper(), "").strip()
        }
        try:
            settings = msgspec.convert(given, cls, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `$.")
            name = path.rstrip("`").upper()
            raise SettingsError(f"{name or 'settings'}: {_WANTED.get(reason, reason)}") from None
        if settings.llm_base_url and not settings.llm_model:
            raise SettingsError("LLM_MODEL: name the model to ask at LLM_BASE_URL")
        if settings.llm_model and not settings.llm_base_url:
            raise SettingsError("LLM_BASE_URL: name the server that has LLM_MODEL")
        if settings.embedding_base_url and not settings.embedding_model:
            raise SettingsError("EMBEDDING_MODEL: name the model to ask at EMBEDDING_BASE_URL")
        for name, schemes in _SCHEMES.items():
            url: str = getattr(settings, name)
            if url and not url.startswith(schemes):
                raise SettingsError(f"{name.upper()}: must begin with {' or '.join(schemes)}")
        try:
            Endpoint.of(settings.llm_base_url or "http://none", {"Key": settings.llm_api_key})
        except ValueError as error:
            raise SettingsError(f"LLM_BASE_URL or LLM_API_KEY: {error}") from None
        if settings.redis_url:
            # Its client takes long to import, and not all commands need it.
            from app.infra.redis import check_url

            if mistake := check_url(settings.redis_url):
                raise SettingsError(f"REDIS_URL: {mistake}")
        return settings


def _path(kind: type, value: str) -> Path:
    # The only field whose type msgspec does not know.
    return Path(value).expanduser()


def _mask(secret: re.Match[str]) -> str:
    return "***@" if secret[0].endswith("@") else "***"


def _masked(name: str, value: object) -> object:
    if name.endswith("api_key"):
        return "***" if value else ""
    return _SECRETS_IN_URL.sub(_mask, value) if isinstance(value, str) else value
