"""What went wrong comes in; after a while it is tried again, or no more."""

import random
import time
from collections.abc import Callable
from http.client import HTTPException
from urllib.error import URLError

from app.cli.ask.exit_status import AskFailed, ExitStatus

# Seconds without a sign of life from the service: a little more than the minute after which a
# caller may ask again, or than a worker takes to start anew.
PATIENCE = 65.0
# Seconds between tries: at first, doubled each time, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
# From so many seconds on, the person who waits is told.
NOTICEABLE = 1.0


class TryAgain(Exception):
    """The service takes it later, in `after` seconds if it says so; the message is its own."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Tries:
    """Waits between tries, longer each time, and not all clients equally long."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.hurry(PATIENCE)

    def hurry(self, patience: float) -> None:
        """From now on, wait so many seconds for the next sign of life."""
        self._patience = patience
        self.succeeded()

    def succeeded(self) -> None:
        """Take note of a sign of life."""
        self._failures = 0
        self._until = time.monotonic() + self._patience

    def wait(self, problem: Exception) -> None:
        """Wait before the next try; raises AskFailed where that would be too long."""
        if isinstance(problem, TryAgain):
            words, pause = str(problem), problem.after
        else:
            words, pause = f"The connection broke: {reason(problem)}.", None
        if pause is None:
            longest = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
            pause = longest * random.uniform(0.5, 1)  # noqa: S311 - it is no secret
        self._failures += 1
        if time.monotonic() + pause > self._until:
            raise AskFailed(words, ExitStatus.UNREACHABLE)
        if pause >= NOTICEABLE:
            self._tell(f"{words} Trying again in {pause:.0f} s.")
        time.sleep(pause)


def reason(error: Exception) -> str:
    """Say in a few words what was wrong with a connection."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, HTTPException):
        return "it was closed before the end"
    return (getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).lower()
