"""Limits on the number of connections, and the log line and metric about those refused."""

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address

from msgspec import Struct

from app.config_values import Network
from app.services.access.network import network
from app.services.metrics.registry import Metrics

log = logging.getLogger(__name__)

# File descriptors kept free: without any, the kernel's connections are closed without a trace.
RESERVED_FILES = 32
MAX_DEFAULT = 10_000
LOG_INTERVAL = 60.0

# By the label of the metric.
REASONS = {
    "worker": "over MAX_CONNECTIONS",
    "address": "over MAX_CONNECTIONS_PER_ADDRESS",
    "files": "for lack of file descriptors",
}


def raise_open_files_limit() -> None:
    """Raise the soft limit of open files to the hard one, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:
            log.debug("cannot raise the limit of open files: %s", error)


def open_files_limit() -> int:
    """Return how many files the process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft


class ConnectionLimits(Struct, frozen=True):
    """How many connections a port has at most. `per_address` is 0 for any number.

    A stream takes two descriptors, the viewer's and the model's, so `worker` should be at most half
    of `files`. Addresses in `trusted` are proxies, which have no limit of their own.
    """

    worker: int
    per_address: int
    files: int
    trusted: Sequence[Network] = ()
    # Seconds for a head to arrive, and between a response and the next request.
    head_timeout: float = 10.0
    keep_alive: float = 5.0

    @classmethod
    def of_process(
        cls, worker: int | None, per_address: int, trusted: Sequence[Network] = ()
    ) -> "ConnectionLimits":
        """Return limits within the process's limit of open files."""
        files = open_files_limit()
        return cls(worker or min(MAX_DEFAULT, files // 2), per_address, files, trusted)


class Connections:
    """Counts the open connections of a port and refuses those over its limits."""

    def __init__(self, limits: ConnectionLimits, log_interval: float = LOG_INTERVAL) -> None:
        self.limits = limits
        self._log_interval = log_interval
        self._open = 0
        self._by_caller: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._logging: asyncio.TimerHandle | None = None

    def admit(self, caller: str | None, descriptor: int, metrics: Metrics) -> bool:
        """Count a connection, or refuse it."""
        if reason := self._excess(caller, descriptor):
            metrics.connections_refused.labels(reason).inc()
            self._refused[reason] += 1
            if self._logging is None:
                self._log()
            return False
        self._open += 1
        if caller is not None:
            self._by_caller[caller] += 1
        return True

    def remove(self, caller: str | None) -> None:
        """Stop counting a connection that was admitted."""
        self._open -= 1
        if caller is not None:
            self._by_caller[caller] -= 1
            if not self._by_caller[caller]:
                del self._by_caller[caller]

    def caller(self, address: str) -> str | None:
        """Return what the limit applies to: an address or an IPv6 /64 network; None for proxies."""
        if self.limits.per_address == 0:
            return None
        known = ip_address(address)
        if any(known in trusted for trusted in self.limits.trusted):
            return None
        return network(address)

    def _excess(self, caller: str | None, descriptor: int) -> str | None:
        # A new descriptor has the lowest free number.
        if descriptor >= self.limits.files - RESERVED_FILES:
            return "files"
        if self._open >= self.limits.worker:
            return "worker"
        if caller is not None and self._by_caller[caller] >= self.limits.per_address:
            return "address"
        return None

    def _log(self) -> None:
        self._logging = None
        if self._refused:
            counts = (f"{count} {REASONS[reason]}" for reason, count in self._refused.items())
            log.warning("connections refused: %s", ", ".join(counts))
            self._refused.clear()
            loop = asyncio.get_running_loop()
            self._logging = loop.call_later(self._log_interval, self._log)
