"""`doctor --url` notices what a proxy does to streams."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from app.cli.ask.service import Service
from app.cli.doctor.address import check_address, check_redirect
from app.cli.doctor.report import Report
from app.config import Settings
from tests.certificate import make_certificate
from tests.cli.doctor.findings import FAILED, OK, SKIPPED, WARNING, new_report, row, statuses
from tests.cli.doctor.middle import Faults, proxied
from tests.cli.doctor.pacing import count
from tests.raw_server import hangs_up, raw_server, replies
from tests.relay import relay
from tests.scripted_model import ScriptedModel, refuse, say
from tests.service import Client, running

pytestmark = pytest.mark.anyio

# Seconds, long enough for buffering to show.
ANSWER_TIME = 0.4
STREAM = ("question", "streaming", "resume", "compression")


@pytest.fixture
async def service(model_settings: Settings) -> AsyncIterator[Client]:
    async with running(replace(model_settings, heartbeat=0.02)) as client:
        yield client


async def check(url: str, question: str | None = "How thick must absorbers be?") -> Report:
    report = new_report()
    service = Service(url)
    await anyio.to_thread.run_sync(check_address, report, service, question)
    return report


@pytest.fixture
async def tls_server(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_a_good_address_has_no_findings(
    service: Client,
    model: ScriptedModel,
    tls_server: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    model.answers(count(ANSWER_TIME))
    async with proxied(service.url, Faults(), tls_server) as url:
        report = await check(url, question=None)
    assert FAILED not in statuses(report).values()
    assert WARNING not in statuses(report).values()
    for name in (*STREAM, "public address", "TLS certificate", "readiness", "heartbeats"):
        assert row(report, name).status is OK
    assert "What does " in row(report, "question").finding


@pytest.mark.parametrize(
    ("faults", "name", "status", "finding"),
    [
        (Faults(buffers=True), "streaming", FAILED, "buffered"),
        (Faults(compresses="as it arrives"), "compression", WARNING, "(gzip)"),
        (Faults(compresses="held back"), "streaming", FAILED, "by compression (gzip)"),
        (Faults(drops_cursor=True), "resume", FAILED, "from the beginning"),
        (Faults(cut_after=3), "question", FAILED, "before its end"),
        (Faults(refuses={("POST", "/api/v1/chat"): 405}), "question", FAILED, "405"),
        (Faults(refuses={("POST", "/api/v1/chat"): 429}), "question", SKIPPED, "429"),
        (Faults(refuses={("POST", "/api/v1/chat"): 401}), "question", SKIPPED, "401"),
        (Faults(refuses={("GET", "/readyz"): 404}), "readiness", SKIPPED, "not public"),
        (Faults(refuses={("GET", "/readyz"): 502}), "readiness", FAILED, "502"),
        (Faults(refuses={("GET", "/healthz"): 502}), "public address", FAILED, "502"),
        (Faults(host="chat.example.org"), "public address", FAILED, "refuses the host name"),
    ],
)
async def test_what_a_proxy_does_wrong_is_found(
    service: Client, model: ScriptedModel, faults: Faults, name: str, status: str, finding: str
) -> None:
    model.answers(count(ANSWER_TIME))
    async with proxied(service.url, faults) as url:
        report = await check(url)
    assert row(report, name).status == status
    assert finding in row(report, name).finding
    assert ("ALLOWED_HOSTS" in row(report, name).advice) == (faults.host != "localhost")
    others = [found for found, its in statuses(report).items() if its in (FAILED, WARNING)]
    also = "resume" if faults.cut_after else "compression"
    assert set(others) <= {name, also}


async def test_a_quick_answer_cannot_show_buffering(service: Client, model: ScriptedModel) -> None:
    model.answers(count(0.0))
    report = await check(service.url)
    assert row(report, "streaming").status is SKIPPED
    assert "too quickly for buffering to show" in row(report, "streaming").finding
    assert "--question" in row(report, "streaming").advice
    model.answers(say("1 2 3"))
    report = await check(service.url)
    assert "Without a language model" in row(report, "streaming").advice


async def test_a_refused_question_cannot_show_buffering(service: Client) -> None:
    report = await check(service.url, question="Hello!")
    assert row(report, "question").finding.startswith("“Hello!”: refused")
    assert "the question was refused" in row(report, "streaming").finding


async def test_the_question_is_about_a_document_and_its_own_creator(
    service: Client, model: ScriptedModel
) -> None:
    model.answers(count(0.0))
    report = await check(service.url, question=None)
    # The first creator's name is only found in other creators' documents.
    finding = row(report, "question").finding
    assert finding.startswith(
        "“What does Tomás Okafor say about Speakers and first reflections in "
    )


async def test_a_question_that_is_too_long_fails_with_the_reason(service: Client) -> None:
    report = await check(service.url, question="x" * 2_000)
    assert "refused (422): The question must have" in row(report, "question").finding


async def test_a_failing_model_is_found(service: Client, model: ScriptedModel) -> None:
    model.answers(refuse(401))
    report = await check(service.url)
    assert row(report, "question").status is FAILED
    assert "not complete" in row(report, "streaming").finding
    assert row(report, "question").finding.startswith("The language model cannot be used.")


async def test_an_address_without_the_service_fails(model: ScriptedModel) -> None:
    async with relay("127.0.0.1:1") as closed:
        report = await check(f"http://{closed.address}")
    assert statuses(report) == {"public address": FAILED, "stream": SKIPPED}
    finding = row(report, "public address").finding
    assert finding.startswith(f"no answer at http://{closed.address} (")
    report = await check(model.base_url)
    assert f"another server answers at {model.base_url}" in row(report, "public address").finding


async def test_https_at_a_server_without_tls_fails_with_the_right_scheme(service: Client) -> None:
    report = await check(service.url.replace("http://", "https://"))
    assert "the server does not speak TLS" in row(report, "public address").finding
    assert "try http://" in row(report, "public address").advice


async def test_a_certificate_that_is_not_trusted_fails(
    service: Client, tls_server: ssl.SSLContext
) -> None:
    async with proxied(service.url, Faults(), tls_server) as url:
        report = await check(url)
    assert statuses(report) == {"TLS certificate": FAILED}
    assert "SSL_CERT_FILE" in row(report, "TLS certificate").advice


async def test_a_certificate_for_another_name_fails(
    service: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_certificate(tmp_path, ["elsewhere.test"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with proxied(service.url, Faults(), context) as url:
        report = await check(url)
    assert "mismatch" in row(report, "TLS certificate").finding.lower()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 308 Moved\r\nLocation: https://localhost/\r\nContent-Length: 0", OK),
        (b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 0", WARNING),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0", WARNING),
        (None, OK),
    ],
)
async def test_plain_http_should_redirect_or_be_closed(head: bytes | None, status: str) -> None:
    report = new_report()
    async with raw_server(replies(head + b"\r\n\r\n") if head else hangs_up) as server:
        await anyio.to_thread.run_sync(check_redirect, report, server.endpoint(), server.port)
    assert row(report, "HTTP to HTTPS").status == status
