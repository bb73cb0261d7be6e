"""How long a stream may have no viewers."""

from msgspec import Struct

from app.services.streams.buffer import StreamBuffer

EARLY_GRACE = 5.0


class Grace(Struct, frozen=True):
    """Seconds without viewers; `early` before the second frame, where little would be lost."""

    seconds: float
    early: float = EARLY_GRACE

    def of(self, stream: StreamBuffer) -> float:
        """Return the grace time of a stream in its present state."""
        return self.seconds if len(stream.frames) > 1 else min(self.early, self.seconds)
