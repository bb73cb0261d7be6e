"""`python -m app keys`: make, list and revoke keys."""

import argparse
import json
import re
from pathlib import Path

import asyncpg
import pytest

from app.cli.key_options import origin
from tests.cli.processes import refusal, run

pytestmark = pytest.mark.anyio

KEY = re.compile(r"chp_(?:secret|publishable|signing)_[0-9a-f]{12}_[0-9a-f]{64}")


async def test_a_key_is_shown_once_and_stored_hashed(
    database_url: str, database: asyncpg.Connection, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    environment = {"DATABASE_URL": database_url, "AUDIT_LOG": str(log)}
    limits = ("--per-minute=5", "--per-day=100", "--at-once=2", "--tokens-per-day=9000")
    made = run("keys", "create", "backend", *limits, "--expires", "90d", **environment)
    assert (made.returncode, made.stderr) == (0, "")
    key, signing = KEY.findall(made.stdout)
    assert key.startswith("chp_secret_")
    assert signing.startswith("chp_signing_")
    row = await database.fetchrow("SELECT *, expires_at - created_at AS lifetime FROM keys")
    assert row
    assert row["id"] == key.split("_")[2]
    assert (row["per_minute"], row["per_day"], row["at_once"]) == (5, 100, 2)
    assert (row["tokens_per_day"], row["lifetime"].days) == (9000, 90)
    stored = repr(dict(row))
    listed = run("keys", "list", **environment)
    assert re.search(
        rf"^{row['id']}  backend  secret  expires \S+  never +0 +0$", listed.stdout, re.M
    )
    for secret in (key.split("_")[3], signing.split("_")[3]):
        assert secret not in stored
        assert secret not in listed.stdout
        assert secret not in log.read_text()
    assert json.loads(log.read_text())["event"] == "key_created"


def test_keys_are_revoked_by_id_or_name(database_url: str) -> None:
    environment = {"DATABASE_URL": database_url}
    made = [
        json.loads(run("keys", "create", name, "--json", **environment).stdout)["id"]
        for name in ("one", "two")
    ]
    again = run("keys", "create", "one", **environment)
    assert again.returncode == 1
    assert "an active key is called one" in again.stderr
    for given in ("one", made[1]):
        assert run("keys", "revoke", given, **environment).returncode == 0
    again = run("keys", "revoke", "one", **environment)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    listed = json.loads(run("keys", "list", "--json", **environment).stdout)
    assert {key["id"] for key in listed if key["revoked_at"]} == set(made)
    # The name is free again.
    assert run("keys", "create", "one", **environment).returncode == 0


def test_a_publishable_key_needs_an_origin_and_has_no_signing_secret(database_url: str) -> None:
    environment = {"DATABASE_URL": database_url}
    create = ("keys", "create", "page", "--kind", "publishable")
    refused = run(*create, **environment)
    assert (refused.returncode, "--origin" in refused.stderr) == (2, True)
    made = run(*create, "--origin", "https://site.example/", "--creator", "nobody", **environment)
    assert len(KEY.findall(made.stdout)) == 1
    assert made.stderr.splitlines()[-1] == "The library has no creator nobody yet."
    [listed] = json.loads(run("keys", "list", "--json", **environment).stdout)
    assert (listed["origins"], listed["creators"]) == (["https://site.example"], ["nobody"])


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://Site.example/", "https://site.example"),
        ("https://site.example:443", "https://site.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_stored_as_browsers_send_it(given: str, sent: str) -> None:
    assert origin(given) == sent


@pytest.mark.parametrize(
    "text",
    [
        *("*", "https://*.site.example", "https://*", "site.example", "null", "", "https://"),
        *("https://site.example/chat", "https://site.example?a", "https://me@site.example"),
        *("ftp://site.example", "https://site.example:x", "https://a b", "https://[::1"),
    ],
)
def test_what_is_not_an_origin_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not an origin"):
        origin(text)


@pytest.mark.parametrize(
    "options",
    [
        *(["--per-minute", value] for value in ("0", "-1", "many", "1.5")),
        *(["--expires", value] for value in ("90", "0d", "soon", "1y")),
        ["--creator", "Two Words"],
        ["--kind", "other"],
    ],
)
def test_wrong_options_are_refused(options: list[str]) -> None:
    done = run("keys", "create", "name", *options)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "0123456789ab", "x" * 101, "-x"])
def test_wrong_names_are_refused(name: str) -> None:
    assert run("keys", "create", "--", name).returncode == 2


def test_an_address_that_others_may_reach_needs_a_choice(tmp_path: Path) -> None:
    state = tmp_path / "state"
    line = refusal(2, HOST="0.0.0.0", DATA_DIR=str(state))  # noqa: S104
    assert "AUTH: other machines may reach HOST 0.0.0.0; set AUTH=on" in line
    assert not state.exists()


def test_an_audit_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    line = refusal(AUDIT_LOG=str(tmp_path / "no/audit.log"), DATA_DIR=str(tmp_path / "state"))
    assert "AUDIT_LOG: cannot write" in line
