"""Settings come from the environment, say which variable is wrong, and never show a secret."""

from pathlib import Path

import pytest

from app.config import Settings, SettingsError


def test_what_is_not_set_or_empty_has_its_default() -> None:
    assert Settings.from_environment({"PORT": " ", "HOME": "/x"}) == Settings()


def test_values_are_read_as_their_types() -> None:
    settings = Settings.from_environment({"PORT": "9000", "DATA_DIR": "a b", "TURN_GRACE": "1.5"})
    assert (settings.port, settings.data_dir, settings.turn_grace) == (9000, Path("a b"), 1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("HEARTBEAT", "-1"),
        ("LOG_FORMAT", "xml"),
        ("REDIS_URL", "foo"),
        ("LLM_MODEL", "x"),
        ("ALPHA", "1.1"),
        ("EMBEDDING_TIMEOUT", "0"),
        ("MAX_PASSAGES_PER_DOCUMENT", "0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^({name}|LLM_BASE_URL): "):
        Settings.from_environment({name: value})


def test_a_model_server_needs_a_model() -> None:
    with pytest.raises(SettingsError, match=r"^LLM_MODEL: "):
        Settings.from_environment({"LLM_BASE_URL": "http://127.0.0.1:1/v1"})


@pytest.mark.parametrize(
    ("url", "key"),
    [("http://", ""), ("http://a b/v1", ""), ("http://h:x/v1", ""), ("http://h/v1", "two\nlines")],
)
def test_a_model_server_needs_an_address_and_a_key_of_one_line(url: str, key: str) -> None:
    given = {"LLM_BASE_URL": url, "LLM_MODEL": "m", "LLM_API_KEY": key}
    with pytest.raises(SettingsError, match=r"^LLM_BASE_URL or LLM_API_KEY: ") as told:
        Settings.from_environment(given)
    assert "lines" not in str(told.value)


def test_an_embedding_server_needs_a_model_and_an_address_of_the_web() -> None:
    with pytest.raises(SettingsError, match=r"^EMBEDDING_MODEL: "):
        Settings.from_environment({"EMBEDDING_BASE_URL": "http://127.0.0.1:1/v1"})
    with pytest.raises(SettingsError, match=r"^EMBEDDING_BASE_URL: "):
        Settings.from_environment({"EMBEDDING_BASE_URL": "db:1", "EMBEDDING_MODEL": "m"})
    # A model alone may be a local one.
    assert Settings.from_environment({"EMBEDDING_MODEL": "minilm"}).embedding_model == "minilm"


@pytest.mark.parametrize(("value", "alpha"), [("", None), ("0", 0.0), ("0.4", 0.4), ("1", 1.0)])
def test_how_much_words_count_is_only_set_where_it_is_given(
    value: str, alpha: float | None
) -> None:
    assert Settings.from_environment({"ALPHA": value}).alpha == alpha


def test_no_secret_is_shown() -> None:
    shown = repr(
        Settings(
            llm_api_key="sk-secret",
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
def test_a_service_that_listens_everywhere_is_found_on_this_machine(host: str, url: str) -> None:
    assert Settings(host=host, port=9000).url == url
