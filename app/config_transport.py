"""Check that the settings protect connections to other hosts."""

import logging
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from app.config import Settings, SettingsError
from app.host_names import HostList, host_of, is_loopback

# A host, with or without a port; both may be missing.
_AUTHORITY = re.compile(r"(?:\[[^\[\]@]*\]|[^\[\]:@]*)(?::\d*)?")

log = logging.getLogger(__name__)

_VERIFIED = "verify-full"
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", _VERIFIED)
# Options of Redis URLs, with the values that turn verification off.
_REDIS_UNVERIFIED = {
    "ssl_cert_reqs": ("none", "optional"),
    "ssl_check_hostname": ("0", "f", "false", "n", "no"),
}


def check_transport(settings: Settings, environment: Mapping[str, str]) -> None:
    """Check the URLs of PostgreSQL, Redis and the models; warn of unverified connections.

    Another host needs TLS unless PLAINTEXT_HOSTS names it. `environment` has the variables of
    PostgreSQL's clients. Raises SettingsError.
    """
    trusted = HostList.of(settings.plaintext_hosts)
    if settings.database_url:
        _check_postgres(settings.database_url, environment, trusted)
    if settings.redis_url:
        _check_redis(settings.redis_url, trusted)
    for name in ("llm", "llm_fallback", "embedding"):
        parts = urlsplit(getattr(settings, f"{name}_base_url"))
        if parts.scheme == "http" and (host := _untrusted([parts.hostname or ""], trusted)):
            raise _not_encrypted(f"{name.upper()}_BASE_URL", "https://", host)


def is_local(url: str) -> bool:
    """Return whether all hosts of a URL of PostgreSQL, Redis or HTTP are this machine."""
    try:
        return not _untrusted(_hosts("URL", url), HostList.of(""))
    except SettingsError:
        return False


def ssl_mode(url: str, environment: Mapping[str, str]) -> str:
    """Return the sslmode of a connection to PostgreSQL, "" if none is chosen."""
    return _options(url).get("sslmode", environment.get("PGSSLMODE", "")).replace("_", "-")


def _check_postgres(url: str, environment: Mapping[str, str], trusted: HostList) -> None:
    hosts, mode = _hosts("DATABASE_URL", url), ssl_mode(url, environment)
    if "ssl" in _options(url):
        raise SettingsError(f"DATABASE_URL: write sslmode={_VERIFIED} or another mode, not ssl=")
    if mode and mode not in _SSL_MODES:
        raise SettingsError(f"DATABASE_URL: sslmode must be one of {', '.join(_SSL_MODES)}")
    if not hosts and "service" in _options(url):
        hosts = ["the service's host"]
    elif not hosts:
        hosts = [host_of(one) for one in environment.get("PGHOST", "").split(",")]
    host = _untrusted(hosts, trusted)
    if not host or mode == _VERIFIED:
        return
    if not mode:
        raise SettingsError(
            f"DATABASE_URL: the connection to {host} may be unencrypted, and the server is not"
            f" verified; add sslmode={_VERIFIED}&sslrootcert=/path/to/ca.crt to the URL, or, if the"
            " network in between is private, name the host in PLAINTEXT_HOSTS"
        )
    log.warning(
        "DATABASE_URL: sslmode=%s does not verify the server at %s; sslmode=%s does",
        *(mode, host, _VERIFIED),
    )


def _check_redis(url: str, trusted: HostList) -> None:
    host = _untrusted(_hosts("REDIS_URL", url), trusted)
    if not host:
        return
    scheme = url.partition("://")[0]
    if not scheme.startswith("rediss"):
        raise _not_encrypted("REDIS_URL", f"{scheme.replace('redis', 'rediss')}://", host)
    for option, values in _REDIS_UNVERIFIED.items():
        if (value := _options(url).get(option, "")).lower() in values:
            log.warning(
                "REDIS_URL: %s=%s does not verify the server at %s; remove the option",
                *(option, value, host),
            )


def _not_encrypted(variable: str, prefix: str, host: str) -> SettingsError:
    return SettingsError(
        f"{variable}: the connection to {host} is not encrypted; begin the URL with {prefix}, or,"
        " if the network in between is private, name the host in PLAINTEXT_HOSTS"
    )


def _untrusted(hosts: Iterable[str], trusted: HostList) -> str:
    """Return the first host that is another machine and not trusted, "" if there is none."""
    for host in hosts:
        if host and not (host.startswith("/") or is_loopback(host) or host in trusted):
            return host
    return ""


def _hosts(variable: str, url: str) -> list[str]:
    """Return the hosts of a URL, or folders of sockets; none if it names none.

    Raises SettingsError if it is ambiguous: what looks like the host may be part of a password.
    """
    if url.startswith("unix:"):
        return []
    postgres = url.startswith("postgres")
    try:
        parts = urlsplit(url)
        # asyncpg takes the first @, other clients the last one.
        authority = parts.netloc.rpartition("@")[2]
        rest = parts.path
        if postgres and "@" in parts.netloc:
            authority = parts.netloc.partition("@")[2]
        elif postgres:
            # The password may have a ? or # that is not encoded.
            rest += parts.query + parts.fragment
        if "@" in authority + rest or not all(map(_AUTHORITY.fullmatch, authority.split(","))):
            raise ValueError
    except ValueError:
        raise SettingsError(
            f"{variable}: the URL is not valid; percent-encode special characters of the password"
        ) from None
    if authority:
        return [unquote(host_of(one)) for one in authority.split(",")]
    given = _options(url).get("host", "") if postgres else ""
    return [host_of(one) for one in given.split(",") if one]


def _options(url: str) -> dict[str, str]:
    """Return the options of a URL; the last value of each counts."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
