"""A server's process comes in; what part of the time others kept it from its core goes out."""

from pathlib import Path
from time import monotonic


class Watch:
    """Looks on from when it is made."""

    def __init__(self, server: int) -> None:
        self._file = Path(f"/proc/{server}/schedstat")
        self._began, self._before = monotonic(), self._waited()

    def share(self) -> float:
        """Return for what part of the time the server could have run and had to wait, 0 to 1."""
        return (self._waited() - self._before) / (monotonic() - self._began)

    def _waited(self) -> float:
        # Nanoseconds on a core, in its queue, and how often.
        return int(self._file.read_text().split()[1]) / 1e9
