"""Check the public address: whatever is between clients and the service must not change it."""

import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.error import HTTPError

import msgspec

from app.cli.ask.retry import cause_of, reason
from app.cli.ask.service import Service
from app.cli.doctor.report import Report, duration
from app.cli.doctor.stream import check_stream
from app.config_transport import is_local
from app.infra.connection_errors import speaks_no_tls
from app.infra.http.endpoint import Endpoint
from app.schemas import Readiness

# Seconds for each request but the question.
LIMIT = 5.0
# Certificates that are renewed automatically are renewed 30 days before their end.
MIN_DAYS = 14
BODY_LIMIT = 1 << 20
# The status of a request whose Host is not in ALLOWED_HOSTS.
MISDIRECTED = 421


def check_address(report: Report, service: Service, question: str | None) -> None:
    """Check a service at its public address, as its clients see it."""
    if service.endpoint.tls and not _check_certificate(report, service):
        return
    if not _check_alive(report, service):
        report.skip("stream", "not checked: the address does not answer as the service")
        return
    _check_tls(report, service)
    _check_readiness(report, service)
    _check_metrics(report, service)
    check_stream(report, service, question)


def _check_alive(report: Report, service: Service) -> bool:
    check, started_at = "public address", time.perf_counter()
    try:
        with service.send("GET", "/healthz", timeout=LIMIT) as response:
            body = response.read(BODY_LIMIT)
    except HTTPError as error:
        with error:
            if target := error.headers.get("Location"):
                report.fail(
                    check,
                    f"{service.url} redirects to {target}",
                    "Give --url the address it redirects to.",
                )
            elif error.code == MISDIRECTED:
                report.fail(
                    check,
                    f"the service refuses the host name of {service.url}",
                    "Add the name to the workers' ALLOWED_HOSTS, and let the proxy pass on the Host"
                    " header.",
                )
            else:
                report.fail(
                    check,
                    f"{service.url}/healthz answered {error.code} {error.reason}",
                    "Check the proxy's configuration, and that a worker runs behind it.",
                )
        return False
    except (HTTPException, OSError) as error:
        report.fail(
            check,
            f"no answer at {service.url} ({reason(error)})",
            "The server does not expect HTTPS: try http://."
            if speaks_no_tls(cause_of(error))
            else "Check the address, DNS and firewall, and that the proxy or the service runs.",
        )
        return False
    if body.strip() != b"ok":
        report.fail(
            check,
            f"another server answers at {service.url}",
            "Let the proxy pass all paths to Chrysopedia Chat.",
        )
        return False
    report.ok(check, f"{service.url} answers in {duration(time.perf_counter() - started_at)}")
    return True


def _check_certificate(report: Report, service: Service) -> bool:
    """Check the certificate; returns whether further requests can succeed."""
    check, endpoint = "TLS certificate", service.endpoint
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), LIMIT) as connection,
            context.wrap_socket(connection, server_hostname=endpoint.host) as tls,
        ):
            certificate, version = tls.getpeercert() or {}, tls.version()
    except ssl.SSLCertVerificationError as error:
        report.fail(
            check,
            f"{reason(error)} ({service.url})",
            "Renew the certificate, name this host in it, and send its whole chain. For a"
            " certificate of your own CA, set SSL_CERT_FILE to the CA's file.",
        )
        return False
    except OSError as error:
        # There may be a proxy in the environment, which the other requests use.
        report.skip(check, f"not checked: no direct connection ({reason(error)})")
        return True
    ends_at = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((ends_at - time.time()) / 86_400)
    finding = f"valid for {days} more days, {version}"
    if days < MIN_DAYS:
        report.warn(check, finding, "Renew it; check that automatic renewal works.")
    else:
        report.ok(check, finding)
    return True


def _check_tls(report: Report, service: Service) -> None:
    check, endpoint = "HTTP to HTTPS", service.endpoint
    if not endpoint.tls:
        if is_local(service.url):
            report.skip(check, "not needed: the address is on this machine")
        else:
            report.warn(
                check,
                "questions and answers are not encrypted",
                "Serve the address with TLS, and redirect HTTP to HTTPS.",
            )
        return
    if endpoint.port != 443:
        report.skip(check, f"not checked: HTTPS is on port {endpoint.port}, not on 443")
        return
    check_redirect(report, endpoint)


def check_redirect(report: Report, endpoint: Endpoint, port: int = 80) -> None:
    """Check that plain HTTP at a host with TLS is closed, or redirects."""
    check = "HTTP to HTTPS"
    connection = HTTPConnection(endpoint.host, port, timeout=LIMIT)
    try:
        connection.request("GET", endpoint.target)
        response = connection.getresponse()
        location = response.headers.get("Location", "")
    except (HTTPException, OSError) as error:
        report.ok(check, f"plain HTTP is closed ({reason(error)})")
        return
    finally:
        connection.close()
    if 300 < response.status < 400 and location.startswith("https://"):
        report.ok(check, f"HTTP redirects to HTTPS ({response.status})")
    else:
        report.warn(
            check,
            f"http:// answers {response.status} instead of a redirect",
            "Redirect HTTP to HTTPS (308).",
        )


def _check_readiness(report: Report, service: Service) -> None:
    check = "readiness"
    try:
        with service.send("GET", "/readyz", timeout=LIMIT) as response:
            parts = _parts(response)
    except HTTPError as error:
        with error:
            parts = _parts(error)
        if not parts and error.code < 500:
            report.skip(check, f"/readyz answered {error.code}: it is not public")
            return
        parts = parts or {"status": str(error.code)}
    except (HTTPException, OSError) as error:
        report.fail(check, f"no answer ({reason(error)})", "Check the proxy's configuration.")
        return
    finding = ", ".join(f"{name} {state}" for name, state in parts.items())
    if parts.get("worker") != "ok" or parts.get("library") != "ok":
        report.fail(check, finding, "See that worker's log; run `doctor` with its settings.")
    elif parts.get("memory") != "ok":
        report.warn(check, finding, "Without Redis, conversations are not remembered: see above.")
    else:
        report.ok(check, finding)


def _parts(response: Any) -> Mapping[str, str]:
    """Return the state of each part of a worker; empty if the response does not have them."""
    with suppress(msgspec.DecodeError, HTTPException, OSError):
        return msgspec.json.decode(response.read(BODY_LIMIT), type=Readiness).parts
    return {}


def _check_metrics(report: Report, service: Service) -> None:
    check = "metrics"
    if is_local(service.url):
        report.skip(check, "not checked: the address is on this machine")
        return
    try:
        with service.send("GET", "/metrics", timeout=LIMIT):
            report.warn(
                check, "/metrics is public", "Refuse it in the proxy, as deploy/nginx.conf does."
            )
    except HTTPError as error:
        error.close()
        report.ok(check, f"/metrics is not public ({error.code})")
    except (HTTPException, OSError) as error:
        report.skip(check, f"no answer ({reason(error)})")
