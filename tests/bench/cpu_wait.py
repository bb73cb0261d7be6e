"""How long a process had to wait for a CPU core."""

from pathlib import Path
from time import monotonic


class CpuWait:
    """Measures a process's run-queue wait from its construction on."""

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/schedstat")
        self._started, self._waited_before = monotonic(), self._waited()

    def fraction(self) -> float:
        """Return the part of the time (0 to 1) that the process was runnable but had no core."""
        return (self._waited() - self._waited_before) / (monotonic() - self._started)

    def _waited(self) -> float:
        # Fields: nanoseconds on a core, nanoseconds in the run queue, number of time slices.
        return int(self._file.read_text().split()[1]) / 1e9
