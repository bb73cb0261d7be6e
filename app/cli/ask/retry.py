"""Wait and retry when the connection to the service breaks."""

import random
import time
from collections.abc import Callable
from http.client import HTTPException
from urllib.error import URLError

from app.cli.ask.exit_status import AskFailed, ExitStatus
from app.infra.connection_errors import describe

# Seconds to keep trying without any bytes from the service: longer than a rate limit's window and
# than the restart of a worker.
PATIENCE = 65.0
# Seconds before the second attempt, doubled for each further one, and the maximum.
MIN_WAIT, MAX_WAIT = 0.2, 5.0
# Waits of at least this many seconds are reported to the user.
REPORTED_WAIT = 1.0


class TryAgain(Exception):
    """The service rejected the request for now, with this message; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Backoff:
    """Waits between attempts, with exponential backoff and jitter; `report` prints a message."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self.set_patience(PATIENCE)

    def set_patience(self, seconds: float) -> None:
        """Set how long to keep trying without any bytes from the service, starting now."""
        self._patience = seconds
        self.reset()

    def reset(self) -> None:
        """Start again with the shortest wait, because the service has sent something."""
        self._failures = 0
        self._deadline = time.monotonic() + self._patience

    def wait(self, error: Exception) -> None:
        """Wait before the next attempt; raises AskFailed if that would exceed the patience."""
        if isinstance(error, TryAgain):
            message, seconds = str(error), error.retry_after
        else:
            message, seconds = f"The connection broke: {reason(error)}.", None
        if seconds is None:
            longest = min(MIN_WAIT * 2**self._failures, MAX_WAIT)
            seconds = longest * random.uniform(0.5, 1)  # noqa: S311
        self._failures += 1
        if time.monotonic() + seconds > self._deadline:
            raise AskFailed(message, ExitStatus.UNREACHABLE)
        if seconds >= REPORTED_WAIT:
            self._report(f"{message} Trying again in {seconds:.0f} s.")
        time.sleep(seconds)


def cause_of(error: Exception) -> BaseException | str:
    """Return the error in which urllib wrapped a connection error."""
    return error.reason if isinstance(error, URLError) else error


def reason(error: Exception) -> str:
    """Describe a connection error in a few words."""
    cause = cause_of(error)
    if isinstance(cause, HTTPException):
        return "it was closed before the end"
    if isinstance(cause, str):
        return cause.lower()
    return describe(cause, str(cause).lower())
