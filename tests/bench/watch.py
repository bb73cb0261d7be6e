"""Measure for what share of the time a process had to wait for its core."""

from pathlib import Path
from time import monotonic


class Watch:
    """Measures from its creation."""

    def __init__(self, server: int) -> None:
        self._file = Path(f"/proc/{server}/schedstat")
        self._began, self._before = monotonic(), self._waited()

    def share(self) -> float:
        """Return the share of time, 0 to 1, that the server was ready to run and had to wait."""
        return (self._waited() - self._before) / (monotonic() - self._began)

    def _waited(self) -> float:
        # Nanoseconds on a core and in its queue, and the number of time slices.
        return int(self._file.read_text().split()[1]) / 1e9
