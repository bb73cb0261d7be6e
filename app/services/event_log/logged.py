"""A turn of this worker says things; from tick to tick they are written to its log in Redis."""

from functools import partial

import anyio

from app.services.event_log.batch import Batch, ignore, log_key, watched_key
from app.services.event_log.frames import Frames
from app.services.event_log.records import Header, encode, encode_header

# Seconds: how long the log of a running turn outlives a worker that died, at least.
LEAST_EXPIRY = 60.0
# Seconds after which a writer makes sure that the log is still there.
RENEWAL = 1.0


class LoggedTurn(Frames):
    """A turn of this worker; its frames are logged from tick to tick. Times are in seconds."""

    def __init__(self, turn_id: str, header: Header, *, replay: float) -> None:
        super().__init__(turn_id, header)
        self._replay = replay
        # A key that is the turn's, and lasts as long as its log.
        self.claim: str | None = None
        # How much is in Redis for certain: frames, and bytes with all that is around them.
        self._stored = 0
        self._length = 0
        self._renew_at = 0.0
        self._forget_at: float | None = None
        self._tried = anyio.Event()
        self._discarded = False
        # Whether nothing is left to be written.
        self.complete = False
        # Until when a viewer on another worker still counts, and when that was asked last.
        self.watched_until = 0.0
        self.looked_at: float | None = None

    @property
    def expiry(self) -> int:
        """How long the log outlives the last sign of life, in milliseconds."""
        return round(max(self._replay, LEAST_EXPIRY) * 1_000)

    def whole(self) -> bytes:
        """Return all of the log, as it should be in Redis."""
        records = encode(self.frames, 0, ended=self.ended, failed=self.failed)
        return encode_header(self.header) + records

    def write(self, batch: Batch, now: float) -> int:
        """Log what is new, keep all of it from expiring, and ask for viewers elsewhere.

        Returns how many bytes the batch has grown by.
        """
        key = log_key(self.turn_id)
        if self._discarded:
            batch.add(self._removed, "DEL", key)
            return 0
        expiry = self._lasting(now)
        frames = len(self.frames)
        data = b""
        if self._length == 0:
            data = self.whole()
            batch.add(partial(self._set, frames, len(data)), "SET", key, data, "PX", expiry)
        elif self._stored < frames:
            new = self.frames[self._stored :]
            data = encode(new, self._stored, ended=self.ended, failed=self.failed)
            batch.add(partial(self._appended, frames, len(data)), "APPEND", key, data)
        if self.ended or now >= self._renew_at:
            self._renew_at = now + RENEWAL
            batch.add(self._renewed, "PEXPIRE", key, expiry)
            if self.claim:
                batch.add(ignore, "PEXPIRE", self.claim, expiry)
        if not self.ended and self.viewers == 0:
            batch.add(partial(self._looked, now), "PTTL", watched_key(self.turn_id))
        return len(data)

    def discard(self) -> None:
        """Remove the log of a turn that never began."""
        self._discarded = True

    async def published(self) -> bool:
        """Wait until Redis was told of the turn, and tell whether other workers can find it now."""
        await self._tried.wait()
        return self._length > 0

    def _lasting(self, now: float) -> int:
        if not self.ended:
            return self.expiry
        if self._forget_at is None:
            self._forget_at = now + self._replay
        elif now > self._forget_at:
            # Redis has been away for so long that nobody may read this any more.
            self.complete = True
        return max(1, round(self._replay * 1_000))

    def _set(self, frames: int, length: int, reply: object) -> None:
        if reply is True:
            self._note(frames, length)
        self._tried.set()

    def _appended(self, frames: int, added: int, reply: object) -> None:
        if reply == self._length + added:
            self._note(frames, self._length + added)
        else:
            # Something else is in Redis than should be: an append that came twice after a lost
            # reply, or nothing, since its memory is gone. The next tick writes all of it.
            self._length = 0

    def _removed(self, reply: object) -> None:
        # Where that did not work it expires.
        self.complete = True

    def _renewed(self, reply: object) -> None:
        if not reply or isinstance(reply, Exception):
            self._length = 0

    def _note(self, frames: int, length: int) -> None:
        self._stored, self._length = frames, length
        self.complete = self.ended and frames == len(self.frames)

    def _looked(self, now: float, reply: object) -> None:
        left = reply if isinstance(reply, int) else 0
        # Never sooner than was known before: where Redis is in trouble viewers cannot tell of
        # themselves, and where it has lost its memory they will in a moment.
        self.watched_until = max(self.watched_until, now + max(0, left) / 1_000)
        self.looked_at = now
