"""Settings, read from environment variables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_type_hints

import msgspec
from msgspec import Meta, Struct

from app import config_values as values
from app.config_values import Body, Headers, SettingsError
from app.host_names import is_loopback

__all__ = ["Settings", "SettingsError"]

Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Limit: TypeAlias = Annotated[int, Meta(ge=0)]

_MARKS = re.compile(r"\S*?(…|\.\.\.)\S+")
_ROOT_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII)
# Settings that have no effect unless one of others is set.
_NEEDED = {
    ("llm_base_url",): (
        *("llm_model", "llm_api_key", "llm_headers", "llm_extra_body", "condense_model"),
        *("llm_fallback_model", "llm_fallback_base_url"),
    ),
    ("llm_fallback_model", "llm_fallback_base_url"): (
        *("llm_fallback_api_key", "llm_fallback_headers", "llm_fallback_extra_body"),
    ),
    ("embedding_base_url",): (
        *("embedding_api_key", "embedding_query_model"),
        *("embedding_query_prefix", "embedding_document_prefix"),
    ),
}


class Settings(Struct, frozen=True, kw_only=True):
    """All settings. Each is read from the environment variable of its name in upper case."""

    # Address to listen on.
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    # Another port of the same address for /metrics and /readyz; 0: they are on PORT.
    ops_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    # Addresses and networks, separated by commas, of proxies whose X-Forwarded-For is trusted.
    trusted_proxies: str = ""
    # Host names of the service beside HOST, localhost and addresses, such as chat.example.org or
    # *.example.org, separated by commas. Requests for others are refused.
    allowed_hosts: str = ""
    # Path under which a proxy publishes the service, such as /chat. The proxy removes it.
    root_path: str = ""

    # Whether requests need a key, a token or a user named by a proxy. Default: off on a loopback
    # HOST; required with any other.
    auth: Literal["off", "on"] | None = None
    # With AUTH=on: whether browsers may use the page without any of them.
    auth_anonymous: Literal["on", "off"] = "on"
    # The `aud` of tokens; the URL of the public keys (JWKS) of another issuer of tokens, and its
    # `iss`.
    auth_audience: str = "chrysopedia-chat"
    auth_jwks_url: str = ""
    auth_issuer: str = ""
    # The header in which the proxies of TRUSTED_PROXIES name the user, such as X-Remote-User.
    auth_subject_header: str = ""
    # A file for the audit log. Default: the service's log.
    audit_log: str = ""

    # Folder for the data of the embedded servers.
    data_dir: Path = Path(".data")

    # PostgreSQL: its URL (empty: an embedded one), the maximum number of connections per worker
    # (searches without an answer get half), and the seconds to get a connection and search.
    database_url: str = ""
    database_pool: Count = 10
    database_timeout: Seconds = 5.0
    # Prepared statements per connection: 0 behind a pooler in transaction mode, more behind one in
    # session mode. Default: 0 if a pooler is detected, else 100.
    database_statement_cache: Annotated[int, Meta(ge=0)] | None = None

    # Hosts that may be reached without TLS because the network in between is private, separated by
    # commas: names, addresses or networks, such as postgres, *.internal or 10.0.0.0/8.
    plaintext_hosts: str = ""

    # Redis: its URL (empty: an embedded Valkey), and the seconds for a read or write of memory.
    redis_url: str = ""
    memory_timeout: Seconds = 1.0

    # OpenAI-compatible model server (empty: answers quote the sources), headers to add or (null) to
    # leave out, and the same for members of the body.
    llm_base_url: str = ""
    llm_model: str = ""
    llm_api_key: str = ""
    llm_headers: Headers | None = None
    llm_extra_body: Body | None = None
    # Role of the message with the rules; user: they are part of the user's first message.
    llm_rules_role: Literal["system", "developer", "user"] = "system"
    # Used when the first model fails. On another server none of the settings above apply, except
    # that LLM_MODEL is the default of the model.
    llm_fallback_model: str = ""
    llm_fallback_base_url: str = ""
    llm_fallback_api_key: str = ""
    llm_fallback_headers: Headers | None = None
    llm_fallback_extra_body: Body | None = None
    # Omitted from requests unless set: some models reject them.
    llm_max_tokens: Count | None = None
    llm_temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    # Marks around the model's thoughts beside the usual ones, such as "<plan>…</plan>".
    llm_thought_marks: str = ""
    # Seconds to connect, to the first token, without any byte between two tokens, without a token
    # while comments or reasoning arrive, and for a whole answer.
    llm_connect_timeout: Seconds = 5.0
    llm_first_token_timeout: Seconds = 60.0
    llm_silence_timeout: Seconds = 20.0
    llm_thinking_timeout: Seconds = 240.0
    llm_answer_timeout: Seconds = 300.0
    # Whether a model rewrites follow-ups and translates questions before the search, which model
    # of the server (default: LLM_MODEL), and its limits in seconds and tokens.
    condense: Literal["model", "off"] = "model"
    condense_model: str = ""
    condense_timeout: Seconds = 2.0
    condense_max_tokens: Count = 256

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
    # Maximum number of tokens of earlier turns, and of the sources' texts, in the prompt.
    history_tokens: Annotated[int, Meta(ge=0)] = 1_500
    source_tokens: Count = 10_000

    # Turns that a worker runs at once.
    max_turns: Count = 1_000
    # Conversations kept per subject; beyond that, the oldest is deleted.
    max_conversations: Count = 200
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
    heartbeat: Annotated[float, Meta(ge=1)] = 8.0
    # Seconds for a viewer to read what was sent before it is disconnected.
    send_timeout: Seconds = 30.0

    # Connections that a worker has at once (default: half of the files that it may have open, at
    # most 10,000), and of them those of one address (IPv6: of one /64 network) that is not in
    # TRUSTED_PROXIES; 0 is unlimited.
    max_connections: Count | None = None
    max_connections_per_address: Annotated[int, Meta(ge=0)] = 100
    # Limits of each address (IPv6: /64 network) and each subject, over all workers; 0 is unlimited:
    # questions a minute and a day, turns at once, and tokens of the model a day.
    rate_limit: Limit = 60
    daily_limit: Limit = 0
    turns_at_once: Limit = 8
    daily_tokens: Limit = 0
    # The same for the whole service.
    service_rate_limit: Limit = 0
    service_daily_limit: Limit = 0
    service_daily_tokens: Limit = 0

    # Log lines as text or JSON; auto is text on a terminal and JSON elsewhere.
    log_format: Literal["auto", "text", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __repr__(self) -> str:
        shown = (
            f"{name}={values.masked(name, getattr(self, name))!r}"
            for name in self.__struct_fields__
        )
        return f"Settings({', '.join(shown)})"

    @property
    def url(self) -> str:
        """The service's URL as seen from this machine."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = local.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def trusted_networks(self) -> list[values.Network]:
        """The networks in TRUSTED_PROXIES."""
        return values.parse_networks("trusted_proxies", self.trusted_proxies)

    def require_auth_choice(self) -> None:
        """Raise SettingsError if other machines may reach HOST and AUTH is not set."""
        if self.auth is None and not is_loopback(self.host):
            raise SettingsError(
                f"AUTH: other machines may reach HOST {self.host}; set AUTH=on (docs/access.md), or"
                " AUTH=off if something else decides who may use the service"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings; an empty variable counts as unset. Raises SettingsError."""
        hints = get_type_hints(cls)
        given = {
            name: values.parse(name, text, hints[name])
            for name in cls.__struct_fields__
            if (text := environment.get(name.upper(), "").strip())
        }
        try:
            # Path is the only type of a setting that msgspec does not convert.
            settings = msgspec.convert(given, cls, dec_hook=values.parse_path)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `$.")
            name = path.rstrip("`")
            raise SettingsError(f"{name.upper()}: {values.explain(reason, hints[name])}") from None
        settings._check()
        return settings

    def _check(self) -> None:
        """Check what types cannot express. Raises SettingsError."""
        if not _ROOT_PATH.fullmatch(self.root_path):
            raise SettingsError(
                "ROOT_PATH: must begin with / and not end with it, such as /chat, and consist of"
                " single slashes, letters A to Z, digits and - . _ ~"
            )
        values.parse_networks("trusted_proxies", self.trusted_proxies)
        if self.ops_port and self.ops_port == self.port:
            raise SettingsError("OPS_PORT: must differ from PORT")
        for name in ("allowed_hosts", "plaintext_hosts"):
            values.check_hosts(name, getattr(self, name))
        self._check_access()
        for name in ("llm", "embedding"):
            if getattr(self, f"{name}_base_url") and not getattr(self, f"{name}_model"):
                name = name.upper()
                raise SettingsError(
                    f"{name}_MODEL: set it to a model of the server at {name}_BASE_URL"
                )
        for pair in self.llm_thought_marks.split():
            if not _MARKS.fullmatch(pair):
                raise SettingsError(
                    "LLM_THOUGHT_MARKS: must be pairs such as <plan>…</plan>, separated by spaces"
                )
        if self.database_url and not self.database_url.startswith(("postgresql://", "postgres://")):
            raise SettingsError("DATABASE_URL: must begin with postgresql:// or postgres://")
        for name in ("llm", "llm_fallback", "embedding"):
            values.check_url(f"{name}_base_url", getattr(self, f"{name}_base_url"))
            values.check_key(f"{name}_api_key", getattr(self, f"{name}_api_key"))
        for name in ("llm", "llm_fallback"):
            values.check_headers(f"{name}_headers", getattr(self, f"{name}_headers"))
            values.check_body(f"{name}_extra_body", getattr(self, f"{name}_extra_body"))
        for needed, names in _NEEDED.items():
            for name in names:
                if getattr(self, name) and not any(getattr(self, each) for each in needed):
                    other = " or ".join(map(str.upper, needed))
                    raise SettingsError(f"{name.upper()}: has no effect alone; set {other} too")

    def _check_access(self) -> None:
        for name in ("auth_jwks_url", "auth_issuer", "auth_subject_header"):
            if getattr(self, name) and self.auth != "on":
                raise SettingsError(f"{name.upper()}: has no effect alone; set AUTH=on too")
        values.check_jwks_url("auth_jwks_url", self.auth_jwks_url)
        for one, other in (
            ("auth_jwks_url", "auth_issuer"),
            ("auth_issuer", "auth_jwks_url"),
            ("auth_subject_header", "trusted_proxies"),
        ):
            if getattr(self, one) and not getattr(self, other):
                raise SettingsError(f"{one.upper()}: has no effect alone; set {other.upper()} too")
        values.check_header_name("auth_subject_header", self.auth_subject_header)
