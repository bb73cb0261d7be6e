"""Connections to other hosts are encrypted and verified, unless the settings say otherwise."""

import logging
from typing import Any

import pytest

from app.asgi import create_app
from app.config import Settings, SettingsError
from app.config_transport import check_transport


def refusal(environment: dict[str, str] | None = None, /, **settings: Any) -> str:
    """Return the message for settings that are refused, which has one line and no password."""
    with pytest.raises(SettingsError) as refused:
        check_transport(Settings(**settings), environment or {})
    message = str(refused.value)
    assert "\n" not in message
    assert "secret" not in message
    return message


def warnings(
    caplog: pytest.LogCaptureFixture, environment: dict[str, str] | None = None, /, **settings: Any
) -> list[str]:
    """Return the warnings about settings that are accepted."""
    with caplog.at_level(logging.INFO):
        check_transport(Settings(**settings), environment or {})
    return caplog.messages


POSTGRES = [
    "postgresql://me:secret@db.internal/chat",
    "postgres://me:secret@10.0.0.5:5433/chat?application_name=x",
    "postgresql://me:secret@127.0.0.1,db.internal/chat",
    "postgresql://[2001:db8::1]:5432,127.0.0.1:5432/chat",
    "postgresql:///chat?host=db.internal",
    "postgresql:///chat?host=/run/postgresql,db.internal",
    "postgresql://localhost.evil.test/chat",
    "postgresql://db%2Einternal/chat",
    "postgresql://db/chat?sslmode=",
    "postgresql:///chat?service=production",
]


@pytest.mark.parametrize("url", POSTGRES)
def test_postgresql_on_another_host_needs_a_choice_of_sslmode(url: str) -> None:
    message = refusal(database_url=url)
    assert message.startswith("DATABASE_URL: ")
    for advice in ("sslmode=verify-full", "sslrootcert=", "PLAINTEXT_HOSTS"):
        assert advice in message


def test_the_host_of_the_environment_counts_too() -> None:
    assert "db.internal" in refusal({"PGHOST": "db.internal"}, database_url="postgresql:///chat")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///chat",
        "postgresql://me@/chat?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/chat",
        "postgresql://[::1]:5433,localhost,127.0.0.2/chat",
        "postgresql://db.internal/chat?sslmode=verify-full",
        "postgresql://db.internal/chat?sslmode=verify_full&sslrootcert=/ca.crt",
        "postgresql:///chat?service=production&sslmode=verify-full",
        "postgresql://localhost/chat?sslmode=disable",
    ],
)
def test_postgresql_on_this_machine_or_verified_needs_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert warnings(caplog, database_url=url) == []


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_a_weaker_sslmode_is_accepted_with_a_warning(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = "postgresql://me:secret@db.internal/chat"
    (line,) = warnings(caplog, database_url=f"{url}?sslmode={mode}")
    assert f"sslmode={mode}" in line
    assert "db.internal" in line
    assert "secret" not in line
    assert "\n" not in line
    caplog.clear()
    assert len(warnings(caplog, {"PGSSLMODE": mode}, database_url=url)) == 1


def test_verify_full_in_the_environment_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql://db.internal/chat"
    assert warnings(caplog, {"PGSSLMODE": "verify-full"}, database_url=url) == []
    # The URL comes first.
    url += "?sslmode=require"
    assert len(warnings(caplog, {"PGSSLMODE": "verify-full"}, database_url=url)) == 1


@pytest.mark.parametrize("option", ["ssl=true", "ssl=require", "sslmode=full", "sslmode=verify"])
@pytest.mark.parametrize("host", ["db.internal", "localhost"])
def test_an_option_that_postgresql_does_not_know_is_explained(option: str, host: str) -> None:
    message = refusal(database_url=f"postgresql://me:secret@{host}/chat?{option}")
    assert "sslmode" in message
    assert "verify-full" in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:se@secret/secret@db/chat",
        "postgresql://me:secret@secret@localhost/chat",
        "postgresql://me:secret@[db/chat",
        "postgresql://me:secret@[::1]evil.test/chat",
    ],
)
def test_a_wrong_url_does_not_show_a_part_of_the_password(url: str) -> None:
    refusal(database_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@cache.internal:6379/0",
        "redis://10.0.0.6",
        "redis+cluster://127.0.0.1:7000,node.internal:7000",
    ],
)
def test_redis_on_another_host_needs_tls(url: str) -> None:
    message = refusal(redis_url=url)
    assert message.startswith("REDIS_URL: ")
    assert "rediss" in message
    assert "PLAINTEXT_HOSTS" in message


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "redis://[::1]/0",
        "unix:///run/valkey.sock",
        "rediss://:secret@cache.internal:6379/0",
        "rediss+cluster://node.internal:7000,other.internal",
        "redis+cluster://127.0.0.1:7000,127.0.0.1:7001",
        "rediss://localhost?ssl_cert_reqs=none",
    ],
)
def test_redis_on_this_machine_or_with_tls_needs_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert warnings(caplog, redis_url=url) == []


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=False"])
def test_redis_with_unverified_tls_is_accepted_with_a_warning(
    option: str, caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = warnings(caplog, redis_url=f"rediss://:secret@cache.internal?{option}")
    assert "cache.internal" in line
    assert "secret" not in line


@pytest.mark.parametrize("name", ["llm", "llm_fallback", "embedding"])
def test_a_model_server_on_another_host_needs_https(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    setting = f"{name}_base_url"
    for url in ("http://gpu.internal:8001/v1", "HTTP://me:secret@10.0.0.7/v1"):
        message = refusal(**{setting: url})
        assert message.startswith(f"{setting.upper()}: ")
        assert "https://" in message
        assert "PLAINTEXT_HOSTS" in message
    for url in ("https://gpu.internal/v1", "http://127.0.0.1:1/v1", "http://[::1]/v1"):
        assert warnings(caplog, **{setting: url}) == []


def test_named_hosts_need_no_encryption(caplog: pytest.LogCaptureFixture) -> None:
    settings: dict[str, Any] = {
        "database_url": "postgresql://me:secret@postgres/chat",
        "redis_url": "redis+cluster://a.cache.internal,b.cache.internal",
        "llm_base_url": "http://10.0.0.7:8001/v1",
    }
    names = ["postgres", "*.cache.internal", "10.0.0.0/24"]
    assert warnings(caplog, **settings, plaintext_hosts=", ".join(names)) == []
    for missing in names:
        others = [name for name in names if name != missing]
        refusal(**settings, plaintext_hosts=",".join(others))


@pytest.mark.parametrize("url", POSTGRES[:2])
def test_the_advice_can_be_followed(url: str, caplog: pytest.LogCaptureFixture) -> None:
    message = refusal(database_url=url)
    host = message.partition("connection to ")[2].partition(" ")[0]
    assert warnings(caplog, database_url=url, plaintext_hosts=host) == []


def test_an_application_made_from_the_environment_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache.internal")
    with pytest.raises(SettingsError, match=r"^REDIS_URL: "):
        create_app()
