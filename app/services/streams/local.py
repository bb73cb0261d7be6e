"""A turn of this worker says things; from tick to tick they are written to its log in Redis."""

from functools import partial

from app.services.streams.batch import Batch, ignore, log_key, watched_key
from app.services.streams.buffer import StreamBuffer
from app.services.streams.log_format import Header, encode, encode_header

# Seconds: how long the log of a running turn outlives a worker that died, at least.
MIN_EXPIRY = 60.0
# Seconds after which a writer makes sure that the log is still there.
RENEWAL = 1.0


class LocalStream(StreamBuffer):
    """A turn of this worker; its frames are logged from tick to tick. Times are in seconds."""

    def __init__(self, turn_id: str, header: Header, *, replay: float) -> None:
        super().__init__(turn_id, header)
        self._key = log_key(turn_id)
        self._replay = replay
        # A key that is the turn's, and lasts as long as its log.
        self.claim: str | None = None
        # How much is in Redis for certain: frames, and bytes with all that is around them.
        self._stored = 0
        self._length = 0
        # The same as it will be when what is on its way has arrived.
        self._sent = 0
        self._sent_length = 0
        self._renew_at = 0.0
        self._forget_at: float | None = None
        self._tried = False
        self._discarded = False
        # Whether nothing is left to be written.
        self.complete = False
        # Until when a viewer on another worker still counts, and when that was asked last.
        self.watched_until = 0.0
        self.looked_at: float | None = None

    @property
    def expiry(self) -> int:
        """How long the log outlives the last sign of life, in milliseconds."""
        return round(max(self._replay, MIN_EXPIRY) * 1_000)

    def whole(self) -> bytes:
        """Return all of the log, as it should be in Redis."""
        record = encode(self.frames, 0, ended=self.ended, failed=self.failed)
        return encode_header(self.header) + record

    def write(self, batch: Batch, now: float) -> int:
        """Log what is new, keep all of it from expiring, and ask for viewers elsewhere.

        Returns how many bytes the batch has grown by.
        """
        if self._discarded:
            batch.add(self._removed, "DEL", self._key)
            return 0
        if self.ended:
            self._give_up(now)
        data = b""
        if self._length == 0:
            data = self.whole()
            batch.add(self._set, "SET", self._key, _text(data), "PX", self._lasting)
        elif self._stored < len(self.frames):
            new = self.frames[self._stored :]
            data = encode(new, self._stored, ended=self.ended, failed=self.failed)
            batch.add(self._appended, "APPEND", self._key, _text(data))
        self._sent, self._sent_length = len(self.frames), self._length + len(data)
        if self.ended or now >= self._renew_at:
            self._renew_at = now + RENEWAL
            batch.add(self._renewed, "PEXPIRE", self._key, self._lasting)
            if self.claim:
                batch.add(ignore, "PEXPIRE", self.claim, self._lasting)
        if not self.ended and self.viewers == 0:
            batch.add(partial(self._looked, now), "PTTL", watched_key(self.turn_id))
        return len(data)

    def discard(self) -> None:
        """Remove the log of a turn that never began."""
        self._discarded = True

    async def published(self) -> bool:
        """Wait until Redis was told of the turn, and tell whether other workers can find it now."""
        while not self._tried:
            await self.grown()
        return self._length > 0

    @property
    def _lasting(self) -> int:
        return max(1, round(self._replay * 1_000)) if self.ended else self.expiry

    def _give_up(self, now: float) -> None:
        if self._forget_at is None:
            self._forget_at = now + self._replay
        elif now > self._forget_at:
            # Redis has been away for so long that nobody may read this any more.
            self.complete = True

    def _set(self, reply: object) -> None:
        if reply == 1:
            self._note()
        if not self._tried:
            self._tried = True
            self.wake()

    def _appended(self, reply: object) -> None:
        if reply == self._sent_length:
            self._note()
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

    def _note(self) -> None:
        self._stored, self._length = self._sent, self._sent_length
        self.complete = self.ended and self._stored == len(self.frames)

    def _looked(self, now: float, reply: object) -> None:
        left = reply if isinstance(reply, int) else 0
        # Never sooner than was known before: where Redis is in trouble viewers cannot tell of
        # themselves, and where it has lost its memory they will in a moment.
        self.watched_until = max(self.watched_until, now + max(0, left) / 1_000)
        self.looked_at = now


def _text(records: bytes) -> str:
    # Frames are UTF-8; one that is not may spoil its own log, but no tick.
    return records.decode(errors="replace")
