"""The audit log: keys made, used first and revoked, refused requests, deleted conversations."""

import logging
import os
import time
from datetime import UTC, datetime

import msgspec

from app.logs import request_id

log = logging.getLogger("audit")

# Refusals that are recorded in a minute: of one address, and of all.
REFUSALS_OF_ADDRESS, REFUSALS = 3, 100


class AuditLog:
    """Writes a line of JSON per event to a file, or to the service's log if `path` is empty."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._minute = 0
        self._refusals: dict[str, int] = {}

    def check(self) -> None:
        """Raise OSError if the file cannot be written."""
        if self._path:
            self._append("")

    def record(self, event: str, **fields: str) -> None:
        """Record an event; fields without a value are left out."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        given = {name: value for name, value in fields.items() if value}
        if request_id.get() != "-":
            given["request_id"] = request_id.get()
        line = msgspec.json.encode({"time": now, "event": event, **given}).decode()
        if self._path:
            try:
                # Opened for each event, so that the file can be rotated.
                self._append(line + "\n")
            except OSError as error:
                log.error("cannot write AUDIT_LOG: %s", error.strerror)
            else:
                return
        log.info("%s", line)

    def refused(self, address: str, reason: str, key_id: str = "") -> None:
        """Record a refused request, unless this minute has had many of the address or of all."""
        minute = int(time.monotonic() / 60)
        if minute != self._minute:
            self._minute = minute
            self._refusals.clear()
        count = self._refusals.get(address, 0)
        # Each address of the minute has at least one, so this bounds the memory too.
        if count >= REFUSALS_OF_ADDRESS or sum(self._refusals.values()) >= REFUSALS:
            return
        self._refusals[address] = count + 1
        self.record("refused", address=address, reason=reason, key=key_id)

    def _append(self, text: str) -> None:
        # One write per line: several workers append to the same file.
        with open(self._path, "a", encoding="utf-8", opener=_private) as file:
            file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
