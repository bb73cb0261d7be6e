"""Settings, read from environment variables."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf", re.ASCII | re.IGNORECASE)
_ROOT_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII)
_SECRETS_IN_URL = re.compile(r"(?<=://).*@|(?<=password=)[^&]*|(?<=key=)[^&]*|(?<=token=)[^&]*")


class SettingsError(ValueError):
    """An environment variable has an invalid value; the message names it and the problem."""


class Settings(Struct, frozen=True, kw_only=True):
    """All settings. Each is read from the environment variable of its name in upper case."""

    # Address to listen on.
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    # Path under which a proxy publishes the service, such as /chat. The proxy removes it.
    root_path: str = ""

    # Folder for the data of the embedded servers.
    data_dir: Path = Path(".data")

    # PostgreSQL: its URL (empty: an embedded one), the maximum number of connections per worker,
    # and the seconds to get a connection and search.
    database_url: str = ""
    database_pool: Count = 10
    database_timeout: Seconds = 5.0

    # Redis: its URL (empty: an embedded Valkey), and the seconds for a read or write of memory.
    redis_url: str = ""
    memory_timeout: Seconds = 1.0

    # OpenAI-compatible model server (empty: answers quote the sources). The fallback model, on
    # the same server, is used when the first one fails.
    llm_base_url: str = ""
    llm_model: str = ""
    llm_fallback_model: str = ""
    llm_api_key: str = ""
    # Omitted from requests unless set: some models reject them.
    llm_max_tokens: Count | None = None
    llm_temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    # Seconds to connect, to the first token, between two tokens, and for a whole answer.
    llm_connect_timeout: Seconds = 5.0
    llm_first_token_timeout: Seconds = 30.0
    llm_silence_timeout: Seconds = 20.0
    llm_answer_timeout: Seconds = 300.0
    # Seconds for the model to rewrite a follow-up question.
    condense_timeout: Seconds = 2.0

    # Embedder: use (also the default if it is installed), bge, none, or a model of the
    # OpenAI-compatible server at EMBEDDING_BASE_URL.
    embedding_model: str = ""
    embedding_base_url: str = ""
    embedding_api_key: str = ""
    # The server's model for questions if it is another one, and what it expects before each
    # question and each passage.
    embedding_query_model: str = ""
    embedding_query_prefix: str = ""
    embedding_document_prefix: str = ""
    # Seconds to embed a question; after that the search is lexical only.
    embedding_timeout: Seconds = 0.5
    # Weight of the lexical score in a passage's score; the rest is the cosine's.
    # Default: 0.3 with bge, 0.4 with any other embedder.
    alpha: Annotated[float, Meta(ge=0, le=1)] | None = None

    # Maximum number of sources per answer, and of passages per document in a search.
    max_sources: Annotated[int, Meta(ge=1, le=50)] = 6
    max_passages_per_document: Count = 6
    # Maximum number of tokens of earlier turns in the prompt.
    history_tokens: Annotated[int, Meta(ge=0)] = 1_500

    # Turns that a worker runs at once.
    max_turns: Count = 1_000
    # Turns kept per conversation, and the seconds after the last turn until they are deleted.
    memory_turns: Count = 10
    memory_ttl: Count = 3_600
    # Seconds that a turn without viewers continues before it is abandoned.
    turn_grace: Seconds = 60.0
    # Seconds for which an ended turn can be replayed.
    turn_replay: Seconds = 300.0
    # Seconds without a lease renewal after which a worker is considered dead.
    turn_lease: Seconds = 3.0
    # Seconds for running answers to finish on shutdown.
    drain_time: Seconds = 30.0
    # Seconds for a request body to arrive.
    body_timeout: Seconds = 5.0
    # Seconds without an event after which a stream sends a heartbeat. Some clients, such as
    # OkHttp, give up after 10 s without data.
    heartbeat: Seconds = 8.0
    # Seconds for a viewer to read what was sent before it is disconnected.
    send_timeout: Seconds = 30.0

    # Questions per minute from one address (IPv6: from one /64 network); 0 is unlimited.
    rate_limit: Annotated[int, Meta(ge=0)] = 0

    # Log lines as text or JSON; auto is text on a terminal and JSON elsewhere.
    log_format: Literal["auto", "text", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __repr__(self) -> str:
        shown = (
            f"{name}={_masked(name, getattr(self, name))!r}" for name in self.__struct_fields__
        )
        return f"Settings({', '.join(shown)})"

    @property
    def url(self) -> str:
        """The service's URL as seen from this machine."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = local.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings; an empty variable counts as unset. Raises SettingsError."""
        given = {
            name: _parse(name, text)
            for name in cls.__struct_fields__
            if (text := environment.get(name.upper(), "").strip())
        }
        try:
            # Path is the only type of a setting that msgspec does not convert.
            settings = msgspec.convert(given, cls, dec_hook=_path)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `$.")
            name = path.rstrip("`")
            raise SettingsError(f"{name.upper()}: {_explain(name, reason)}") from None
        settings._check()
        return settings

    def _check(self) -> None:
        """Check what types cannot express. Raises SettingsError."""
        if not _ROOT_PATH.fullmatch(self.root_path):
            raise SettingsError("ROOT_PATH: must begin with / and not end with it, such as /chat")
        if self.llm_base_url and not self.llm_model:
            raise SettingsError("LLM_MODEL: set it to a model of the server at LLM_BASE_URL")
        if self.llm_model and not self.llm_base_url:
            raise SettingsError("LLM_BASE_URL: set it to the server that has LLM_MODEL")
        if self.embedding_base_url and not self.embedding_model:
            raise SettingsError(
                "EMBEDDING_MODEL: set it to a model of the server at EMBEDDING_BASE_URL"
            )
        for name in ("query_model", "query_prefix", "document_prefix"):
            if getattr(self, f"embedding_{name}") and not self.embedding_base_url:
                raise SettingsError(
                    f"EMBEDDING_{name.upper()}: it is only for a server; set EMBEDDING_BASE_URL too"
                )
        if self.database_url and not self.database_url.startswith(("postgresql://", "postgres://")):
            raise SettingsError("DATABASE_URL: must begin with postgresql:// or postgres://")
        for name in ("llm", "embedding"):
            url, key = getattr(self, f"{name}_base_url"), getattr(self, f"{name}_api_key")
            if url and not _is_http_url(url):
                raise SettingsError(
                    f"{name.upper()}_BASE_URL: must be a URL with a host that begins with http://"
                    " or https://"
                )
            if not (key.isascii() and key.isprintable()):
                raise SettingsError(f"{name.upper()}_API_KEY: must be one line of ASCII characters")


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and port != 0 and bool(re.fullmatch("[!-~]+", host))


def _parse(name: str, text: str) -> object:
    """Parse the text of a number; return other settings' texts as they are."""
    hint = get_type_hints(Settings)[name]
    kinds = {int: "a whole number", float: "a number"}
    kind = next((one for one in kinds if one in (hint, *get_args(hint))), None)
    if kind is None:
        return text
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if math.isnan(number) or (kind is int and not number.is_integer()):
        raise SettingsError(f"{name.upper()}: must be {kinds[kind]}")
    return kind(number)


def _path(_: type, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0]
        raise ValueError(f"must be a folder, but {user} is not a user's home directory") from None


def _explain(name: str, reason: str) -> str:
    """Rewrite msgspec's message about a setting's value in plain terms."""
    if bound := re.fullmatch(r"Expected `.+` ([<>]=? -?\d+)(?:\.0)?", reason):
        return f"must be {bound[1]}"
    if choices := get_args(get_type_hints(Settings)[name]):
        return f"must be one of {', '.join(choices)}"
    return reason


def _masked(name: str, value: object) -> object:
    if name.endswith("api_key"):
        return "***" if value else ""
    if isinstance(value, str):
        return _SECRETS_IN_URL.sub(lambda found: "***@" if found[0].endswith("@") else "***", value)
    return value
