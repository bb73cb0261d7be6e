"""The log of another worker's turn comes in, tick by tick; its viewers here get the frames."""

from functools import partial

from app.services.streams.batch import Batch, ignore, lease_key, log_key, watched_key
from app.services.streams.buffer import StreamBuffer
from app.services.streams.log_format import Header, decode, decode_header

# Seconds after which a reader of a silent log makes sure that it is still there.
SILENCE = 2.0
# Seconds that a mirror nobody follows is kept: its reader may be about to begin.
IDLE = 2.0
# Seconds that a worker's lease, or a silent turn's log, must be missing before a turn is given up:
# where Redis was away, or lost its memory, the worker has to find that out first.
PATIENCE = 2.0
# Milliseconds that a silent log may come nearer to its expiry: its writer renews it each second.
STALE = 5_000
# So many signs of life of a worker later, all is logged that it had said when the first was read:
# one may have been on its way, and what comes with the last may not have been read yet.
BEATS = 3


class RemoteStream(StreamBuffer):
    """A turn of another worker, as its log in Redis tells of it."""

    def __init__(self, turn_id: str, header: Header, now: float) -> None:
        super().__init__(turn_id, header)
        self._offset = 0
        self._heard_at = now
        self._left_at = now
        # Since when the worker's lease is missing, and the log.
        self.missing_since: float | None = None
        self._gone_since: float | None = None
        self.lost = False
        # The worker's last sign of life, the last that counted, and how many did.
        self._sign = self._beat = b""
        self._beats = 0
        # The longest time to its expiry that the log was seen to have, in milliseconds.
        self.freshest = 0

    def idle(self, now: float) -> bool:
        """Tell whether this need not be read any longer."""
        if self.viewers:
            self._left_at = now
        return self.ended or now > self._left_at + IDLE

    def read(self, batch: Batch, now: float, watched_for: int) -> None:
        """Ask for what is new, and say for so many milliseconds that somebody watches."""
        if now > self._heard_at + SILENCE:
            self._offset = 0
            batch.add(self._aged, "PTTL", log_key(self.turn_id))
        taking = partial(self._take, now, self._offset)
        batch.add(partial(self.lease_seen, now), "GET", lease_key(self.header.worker))
        batch.add(taking, "GETRANGE", log_key(self.turn_id), self._offset, -1)
        if self.viewers:
            batch.add(ignore, "SET", watched_key(self.turn_id), 1, "PX", watched_for)

    def take_records(self, records: bytes, offset: int) -> None:
        """Take the records of a log from somewhere on; the next ones are at byte `offset`."""
        part = decode(records, len(self.frames))
        self._offset = 0 if part.torn else offset
        if part.frames or part.ended:
            self.add(part.frames, ended=part.ended, failed=part.failed)

    def keep(self, now: float) -> None:
        """Go on reading for a while: somebody is about to follow."""
        self._left_at = now

    async def caught_up(self, number: int) -> None:
        """Wait for the frame of this number, the end, or all that the worker has said by now."""
        self.viewers += 1
        enough = self._beats + BEATS
        try:
            while len(self.frames) <= number and not self.ended and self._beats < enough:
                await self.grown()
        finally:
            self.viewers -= 1

    def lease_seen(self, now: float, reply: object) -> None:
        """Take the worker's sign of life, None where its lease has lapsed."""
        self._sign = reply if isinstance(reply, bytes) else self._beat
        missing = reply is None
        self.missing_since = (self.missing_since or now) if missing else None
        self._give_up(now, self.missing_since)

    def _take(self, now: float, offset: int, reply: object) -> None:
        if not isinstance(reply, bytes):
            # Redis, or a part of it, is in trouble: what seemed to be missing may be there.
            self.missing_since = self._gone_since = None
            return
        if self.ended:
            return
        if self._sign != self._beat:
            self._beat = self._sign
            self._beats += 1
            self.wake()
        known = len(self.frames)
        if offset and reply:
            self.take_records(reply, offset + len(reply))
        elif not offset and (found := decode_header(reply)):
            self._gone_since = None
            self.take_records(found[1], len(reply))
        elif not offset:
            # It has expired, or Redis has lost it and nobody writes it again.
            self._gone_since = self._gone_since or now
            self._give_up(now, self._gone_since)
        if reply:
            self._heard_at = now
        if len(self.frames) > known:
            # What is new may be the end: only a silent log is a lost one.
            self.missing_since, self.lost = None, False

    def _aged(self, reply: object) -> None:
        """Give up a silent log that is not renewed: its writer takes the turn for done."""
        if isinstance(reply, int) and reply > 0:
            self.freshest = max(self.freshest, reply)
            self.lost = self.lost or (reply < self.freshest - STALE and not self.ended)

    def _give_up(self, now: float, since: float | None) -> None:
        self.lost = self.lost or (since is not None and now > since + PATIENCE and not self.ended)
