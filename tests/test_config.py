"""Settings from environment variables: defaults, types, error messages, masked secrets."""

import re
from pathlib import Path

import pytest

from app.config import Settings, SettingsError

SERVER = {"LLM_BASE_URL": "http://127.0.0.1:1/v1", "LLM_MODEL": "m"}


def test_unset_and_empty_variables_have_defaults() -> None:
    assert Settings.from_environment({"PORT": " ", "HOME": "/x"}) == Settings()


def test_values_are_converted_to_their_types() -> None:
    settings = Settings.from_environment({"PORT": "9000", "DATA_DIR": "a b", "TURN_GRACE": "1.5"})
    assert (settings.port, settings.data_dir, settings.turn_grace) == (9000, Path("a b"), 1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("ROOT_PATH", "chat"),
        ("ROOT_PATH", "/chat/"),
        ("ROOT_PATH", "//chat"),
        ("ROOT_PATH", "/é"),
        ("ROOT_PATH", "/a?b"),
        ("HEARTBEAT", "-1"),
        ("HEARTBEAT", "0.1"),
        ("LOG_FORMAT", "xml"),
        ("LLM_MAX_TOKENS", "many"),
        ("DATABASE_URL", "db:5432"),
        ("ALPHA", "1.1"),
        ("ALPHA", "null"),
        ("ALPHA", "1e999"),
        ("LLM_TEMPERATURE", "warm"),
        *(("LLM_HEADERS", value) for value in ("X-Title: Chat", "null", "{", '{"a": 1}', "[]")),
        *(("LLM_FALLBACK_EXTRA_BODY", value) for value in ("top_p=1", "null", "'{}'", "1")),
        ("LLM_RULES_ROLE", "assistant"),
        ("AUTH", "yes"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
        ("LLM_THOUGHT_MARKS", "<plan>…</plan> <a>"),
        ("DATA_DIR", "~nobody-of-this-name/x"),
        ("EMBEDDING_TIMEOUT", "0"),
        ("MAX_PASSAGES_PER_DOCUMENT", "0"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: must [^\n]+$"):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(
    ("text", "number"), [(".5", 0.5), ("0.5", 0.5), ("1.", 1), ("+1", 1), ("5e-1", 0.5), ("1", 1)]
)
def test_a_number_may_be_written_in_any_common_way(text: str, number: float) -> None:
    assert Settings.from_environment({"ALPHA": text}).alpha == number


def test_a_whole_number_may_end_in_zeros() -> None:
    port = Settings.from_environment({"PORT": "9000.0"}).port
    assert (port, type(port)) == (9000, int)


TYPE_NAMES = re.compile(
    r"`|\b(float|int|str|null|None|bool|Path|PosixPath|Literal|object|type|class|Traceback)\b"
)


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_no_message_shows_the_name_of_a_type(name: str) -> None:
    nonsense = ["many", "-1", "-.5", "1.5", "1e999", "nan", "null", "true", "0x1", "[]", "{}", "٣"]
    for value in [*nonsense, "10000000", "~nobody-of-this-name/x", "ü"]:
        try:
            Settings.from_environment({name.upper(): value})
        except SettingsError as error:
            message = str(error)
            variable = name.partition("_")[0].upper()
            assert re.fullmatch(rf"{variable}[A-Z_]*: [^\n]+", message)
            assert not TYPE_NAMES.search(message), message


def test_the_choices_of_a_setting_are_listed() -> None:
    with pytest.raises(SettingsError, match="auto, text, json"):
        Settings.from_environment({"LOG_FORMAT": "xml"})


def test_model_and_model_server_require_each_other() -> None:
    with pytest.raises(SettingsError, match=r"^LLM_MODEL: "):
        Settings.from_environment({"LLM_BASE_URL": "http://127.0.0.1:1/v1"})


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        *((f"LLM_{name}", "x", "LLM_BASE_URL") for name in ("MODEL", "API_KEY")),
        *((f"LLM_{name}", '{"a": "b"}', "LLM_BASE_URL") for name in ("HEADERS", "EXTRA_BODY")),
        ("CONDENSE_MODEL", "x", "LLM_BASE_URL"),
        ("LLM_FALLBACK_MODEL", "x", "LLM_BASE_URL"),
        ("LLM_FALLBACK_BASE_URL", "http://127.0.0.1:1/v1", "LLM_BASE_URL"),
        ("LLM_FALLBACK_API_KEY", "x", "LLM_FALLBACK_MODEL or LLM_FALLBACK_BASE_URL"),
        ("EMBEDDING_API_KEY", "x", "EMBEDDING_BASE_URL"),
        ("EMBEDDING_QUERY_PREFIX", "query:", "EMBEDDING_BASE_URL"),
    ],
)
def test_a_setting_that_has_no_effect_alone_is_reported(name: str, value: str, needed: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: .*; set {needed} too$"):
        Settings.from_environment({name: value})


@pytest.mark.parametrize("path", ["/é", "/a?b", "//x", "x/"])
def test_a_wrong_root_path_is_told_what_is_allowed(path: str) -> None:
    with pytest.raises(SettingsError, match=r"single slashes, letters A to Z, digits and - \. _ ~"):
        Settings.from_environment({"ROOT_PATH": path})


def test_an_embedding_server_requires_a_model_but_a_model_may_be_local() -> None:
    with pytest.raises(SettingsError, match=r"^EMBEDDING_MODEL: "):
        Settings.from_environment({"EMBEDDING_BASE_URL": "http://127.0.0.1:1/v1"})
    # A model alone may be a local one.
    assert Settings.from_environment({"EMBEDDING_MODEL": "use"}).embedding_model == "use"


@pytest.mark.parametrize("server", ["LLM", "LLM_FALLBACK", "EMBEDDING"])
@pytest.mark.parametrize(
    "url", ["db:1", "ftp://h/v1", "http://", "http://a b/v1", "http://h:x/v1", "http://a..b/"]
)
def test_a_model_server_must_be_an_http_url(server: str, url: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{server}_BASE_URL: "):
        Settings.from_environment(SERVER | {f"{server}_BASE_URL": url, f"{server}_MODEL": "m"})


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel"])
@pytest.mark.parametrize("name", ["LLM_API_KEY", "LLM_FALLBACK_API_KEY", "EMBEDDING_API_KEY"])
def test_a_key_must_fit_into_a_header_and_is_not_shown(name: str, key: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as refused:
        Settings.from_environment({name: key})
    assert key not in str(refused.value)


@pytest.mark.parametrize("name", ["LLM_BASE_URL", "LLM_API_KEY"])
@pytest.mark.parametrize("quote", ['"', "'", "“"])
def test_quotation_marks_around_a_value_are_reported(name: str, quote: str) -> None:
    value = f"{quote}{SERVER.get(name, 'sk-1')}{quote}"
    with pytest.raises(SettingsError, match=f"^{name}: remove the quotation marks"):
        Settings.from_environment(SERVER | {name: value})


@pytest.mark.parametrize("ending", ["completions", "responses", "messages/", "models"])
def test_the_url_of_another_api_is_reported(ending: str) -> None:
    url = f"http://h/v1/{ending}?a=b"
    with pytest.raises(SettingsError, match=f"^LLM_BASE_URL: remove /{ending.strip('/')}, "):
        Settings.from_environment(SERVER | {"LLM_BASE_URL": url})


@pytest.mark.parametrize(
    "url", ["http://h/v1/chat/completions/", "http://h/v1?a=b#c", "HTTP://h", "http://h/models/v1"]
)
def test_base_urls_have_many_forms(url: str) -> None:
    assert Settings.from_environment(SERVER | {"LLM_BASE_URL": url}).llm_base_url == url


def test_headers_and_members_of_the_body_are_json() -> None:
    headers, body = '{"api-key": "k", "Authorization": null}', '{"top_p": 0.9, "a": {"b": [1]}}'
    settings = Settings.from_environment(SERVER | {"LLM_HEADERS": headers, "LLM_EXTRA_BODY": body})
    assert settings.llm_headers == {"api-key": "k", "Authorization": None}
    assert settings.llm_extra_body == {"top_p": 0.9, "a": {"b": [1]}}


@pytest.mark.parametrize(
    "headers", ['{"a b": "c"}', '{"a": "ü"}', '{"a": "b\\n"}', '{"": "a"}', '{"Host": "a"}']
)
def test_headers_that_cannot_be_sent_are_rejected(headers: str) -> None:
    with pytest.raises(SettingsError, match=r"^LLM_HEADERS: "):
        Settings.from_environment({"LLM_HEADERS": headers})


@pytest.mark.parametrize("name", ["LLM_EXTRA_BODY", "LLM_FALLBACK_EXTRA_BODY"])
def test_the_model_and_the_messages_cannot_be_replaced(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: remove messages, "):
        Settings.from_environment({name: '{"model": "m", "messages": []}'})


@pytest.mark.parametrize(("value", "alpha"), [("", None), ("0", 0.0), ("0.4", 0.4), ("1", 1.0)])
def test_alpha_is_only_set_if_given(value: str, alpha: float | None) -> None:
    assert Settings.from_environment({"ALPHA": value}).alpha == alpha


def test_secrets_are_masked() -> None:
    shown = repr(
        Settings(
            llm_api_key="sk-secret",
            llm_headers={"api-key": "sk-secret"},
            llm_extra_body={"api_key": "sk-secret"},
            llm_fallback_api_key="sk-secret",
            llm_fallback_headers={"api-key": "sk-secret"},
            llm_fallback_extra_body={"api_key": "sk-secret"},
            embedding_api_key="sk-secret",
            database_url="postgresql://me:pg-secret@db/chat",
            redis_url="redis://:redis/secret@cache:6379/0",
        )
    ) + repr(Settings(database_url="postgresql://db/chat?user=me&password=secret&sslmode=require"))
    assert "secret" not in shown
    assert "db/chat" in shown


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("chat.example.com", "http://chat.example.com:9000"),
        ("0.0.0.0", "http://127.0.0.1:9000"),  # noqa: S104
        ("::", "http://[::1]:9000"),
    ],
)
def test_a_service_on_all_addresses_is_reached_through_the_loopback_address(
    host: str, url: str
) -> None:
    assert Settings(host=host, port=9000).url == url


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_loopback_address_needs_no_choice_of_auth(host: str) -> None:
    Settings.from_environment({"HOST": host}).require_auth_choice()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "chat.example.org"])  # noqa: S104
def test_an_address_that_others_may_reach_needs_a_choice_of_auth(host: str) -> None:
    with pytest.raises(SettingsError, match=r"^AUTH: "):
        Settings.from_environment({"HOST": host}).require_auth_choice()
    for auth in ("on", "off"):
        Settings.from_environment({"HOST": host, "AUTH": auth}).require_auth_choice()


URL = "https://issuer.example/keys"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"AUTH_JWKS_URL": URL, "AUTH_ISSUER": "i"}, "AUTH_JWKS_URL: .*set AUTH=on"),
        ({"AUTH": "on", "AUTH_JWKS_URL": URL}, "AUTH_JWKS_URL: .*set AUTH_ISSUER"),
        ({"AUTH": "on", "AUTH_ISSUER": "i"}, "AUTH_ISSUER: .*set AUTH_JWKS_URL"),
        ({"AUTH": "on", "AUTH_JWKS_URL": "x", "AUTH_ISSUER": "i"}, "AUTH_JWKS_URL: must be a URL"),
        (
            {"AUTH": "on", "AUTH_JWKS_URL": "http://issuer.example/", "AUTH_ISSUER": "i"},
            "AUTH_JWKS_URL: must begin with https://",
        ),
        ({"AUTH": "on", "AUTH_SUBJECT_HEADER": "X-User"}, "AUTH_SUBJECT_HEADER: .*TRUSTED_PROXIES"),
        (
            {"AUTH": "on", "AUTH_SUBJECT_HEADER": "X User", "TRUSTED_PROXIES": "::1"},
            "AUTH_SUBJECT_HEADER: must be the name",
        ),
    ],
)
def test_settings_of_access_control_that_do_not_fit_are_reported(
    settings: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{message}"):
        Settings.from_environment(settings)
