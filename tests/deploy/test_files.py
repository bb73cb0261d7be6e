"""The files for nginx, systemd and Compose agree with the service and with each other."""

import re
import subprocess
from pathlib import Path

import pytest
import uvicorn

from app.config import Settings
from app.limits import BODY_LIMIT
from tests.nginx import DEPLOY

COMPOSE = DEPLOY / "compose.yaml"
UNIT = DEPLOY / "chrysopedia-chat@.service"
# The exposure that systemd-analyze calls OK, from 0 (best) to 10.
EXPOSURE = 2.0
# Seconds that slow viewers have after DRAIN_TIME before a worker exits.
GRACE = 10


def setting(name: str, text: str) -> str:
    """Return the only value of a name in a configuration."""
    [value] = re.findall(rf"^\s*{name}(?:[ =]|: )(.+?);?$", text, re.MULTILINE)
    return str(value)


def seconds(value: str) -> float:
    return float(value.removesuffix("s"))


def test_nginx_limits_match_those_of_the_service() -> None:
    config = (DEPLOY / "nginx.conf").read_text()
    settings = Settings()
    assert setting("client_max_body_size", config) == f"{BODY_LIMIT // 1024}k"
    assert f"at most {BODY_LIMIT} bytes" in config
    assert seconds(setting("proxy_read_timeout", config)) > 3 * settings.heartbeat
    assert seconds(setting("worker_shutdown_timeout", config)) > settings.llm_answer_timeout
    keeps = uvicorn.Config("app").timeout_keep_alive
    assert seconds(setting("keepalive_timeout", config)) < keeps


def test_systemd_and_compose_wait_for_a_worker_to_drain() -> None:
    drained = Settings().drain_time + GRACE
    assert seconds(setting("TimeoutStopSec", UNIT.read_text())) > drained
    assert seconds(setting("stop_grace_period", COMPOSE.read_text())) > drained


def test_compose_addresses_match_those_that_nginx_and_the_workers_use() -> None:
    text = COMPOSE.read_text()
    address = r"^  ([\w-]+):\n(?:(?: {4}.*)?\n)*?        ipv4_address: (\S+)"
    found = dict(re.findall(address, text, re.MULTILINE))
    assert setting("FORWARDED_ALLOW_IPS", text) == found.pop("nginx")
    workers = (DEPLOY / "compose-workers.conf").read_text()
    assert re.findall(r"server (\S+):8000 max_fails=0;", workers) == [*found.values()]


@pytest.mark.needs("systemd-analyze")
def test_systemd_unit_is_valid_and_rated_secure(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name.replace("@", "@8001")
    unit.write_text(UNIT.read_text())
    limit = ["security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", "--no-pager"]
    for check in (["verify"], limit):
        command: list[str | Path] = ["systemd-analyze", *check, unit]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - no shell
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_workers_that_others_reach_have_access_control() -> None:
    assert setting("AUTH", COMPOSE.read_text()) == "${AUTH:-on}"
    assert setting("AUTH", (DEPLOY / "chrysopedia-chat.env").read_text()) == "on"
