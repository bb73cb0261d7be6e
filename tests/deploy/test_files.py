"""The files for nginx, systemd and Compose agree with the service and with each other."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from app.cli.connections import ConnectionLimits
from app.config import Settings
from app.limits import BODY_LIMIT
from tests.nginx import DEPLOY

COMPOSE = DEPLOY / "compose.yaml"
UNIT = DEPLOY / "chrysopedia-chat@.service"
# The exposure that systemd-analyze calls OK, from 0 (best) to 10.
EXPOSURE = 1.0
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
    keep_alive = ConnectionLimits.of_process(None, 0).keep_alive
    assert seconds(setting("keepalive_timeout", config)) < keep_alive


def test_systemd_and_compose_wait_for_a_worker_to_drain() -> None:
    drained = Settings().drain_time + GRACE
    assert seconds(setting("TimeoutStopSec", UNIT.read_text())) > drained
    assert seconds(setting("stop_grace_period", COMPOSE.read_text())) > drained


def test_compose_addresses_match_those_that_nginx_and_the_workers_use() -> None:
    text = COMPOSE.read_text()
    address = r"^  ([\w-]+):\n(?:(?: {4}.*)?\n)*?        ipv4_address: (\S+)"
    found = dict(re.findall(address, text, re.MULTILINE))
    assert setting("TRUSTED_PROXIES", text) == found.pop("nginx")
    workers = (DEPLOY / "compose-workers.conf").read_text()
    assert re.findall(r"server (\S+):8000 max_fails=0;", workers) == [*found.values()]


@pytest.mark.parametrize("name", ["worker-1", "worker-2", "ingest", "nginx", "postgres", "valkey"])
def test_containers_have_no_more_rights_than_they_need(name: str) -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert len(services) == 6
    service = services[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert ("cap_add" in service) == (name == "nginx")
    assert name != "valkey" or "--requirepass" in service["command"]


@pytest.mark.needs("systemd-analyze")
def test_systemd_unit_is_valid_and_rated_secure(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name.replace("@", "@8001")
    unit.write_text(UNIT.read_text())
    limit = ["security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", "--no-pager"]
    for check in (["verify"], limit):
        command: list[str | Path] = ["systemd-analyze", *check, unit]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - no shell
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_the_name_of_the_site_is_allowed_by_the_workers() -> None:
    name = setting("server_name", (DEPLOY / "site/server.conf").read_text())
    assert setting("ALLOWED_HOSTS", (DEPLOY / "chrysopedia-chat.env").read_text()) == name
    assert "$http_host" in setting("proxy_set_header Host", (DEPLOY / "nginx.conf").read_text())


def test_workers_that_others_reach_have_access_control() -> None:
    assert setting("AUTH", COMPOSE.read_text()) == "${AUTH:-on}"
    assert setting("AUTH", (DEPLOY / "chrysopedia-chat.env").read_text()) == "on"
