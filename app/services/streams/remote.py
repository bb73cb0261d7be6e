"""A stream that another worker runs, read from its log in Redis."""

from functools import partial

from app.services.streams.batch import Batch
from app.services.streams.buffer import StreamBuffer
from app.services.streams.keys import lease_key, log_key, remote_viewers_key
from app.services.streams.log_format import Header, decode, decode_header

# Seconds without new frames after which a reader checks the log from its start.
SILENCE = 2.0
# Seconds for which a stream without viewers is still read, since one may be about to follow it.
IDLE_TIMEOUT = 2.0
# Seconds that a worker's lease or a silent stream's log must be missing before the stream is lost:
# if Redis was unavailable or lost its memory, the worker must notice first.
LOST_TIMEOUT = 2.0
# Milliseconds by which the remaining time of a silent log may fall: its worker renews it each
# second.
MAX_EXPIRY_DROP = 5_000
# After this many lease renewals the log has all that the worker had produced before the first:
# a write may have been under way, and the last one may not have been read yet.
RENEWALS_TO_CATCH_UP = 3


class RemoteStream(StreamBuffer):
    """The buffer of a stream that another worker runs; `LogSync` polls its log."""

    def __init__(self, stream_id: str, header: Header, now: float) -> None:
        super().__init__(stream_id, header)
        # The worker died, or no longer writes this stream.
        self.lost = False
        self.lease_missing_since: float | None = None
        # The longest remaining time that the log was seen with, in milliseconds.
        self.max_ttl_seen = 0
        self._log_missing_since: float | None = None
        # Where the next read of the log starts.
        self._offset = 0
        self._last_data_at = now
        self._last_used_at = now
        # The lease's latest value, the latest that was counted, and how many were.
        self._lease = self._counted_lease = b""
        self._renewals = 0

    def is_idle(self, now: float) -> bool:
        """Return whether the log need not be read any longer."""
        if self.viewers:
            self._last_used_at = now
        return self.ended or now > self._last_used_at + IDLE_TIMEOUT

    def poll(self, batch: Batch, now: float, viewers_ttl_ms: int) -> None:
        """Add the commands that read new frames and report viewers to the stream's worker."""
        if now > self._last_data_at + SILENCE:
            self._offset = 0
            batch.add("PTTL", log_key(self.stream_id), on_reply=self._on_ttl)
        on_lease = partial(self.on_lease, now)
        batch.add("GET", lease_key(self.header.worker), on_reply=on_lease)
        on_log = partial(self._on_log, now, self._offset)
        batch.add("GETRANGE", log_key(self.stream_id), self._offset, -1, on_reply=on_log)
        if self.viewers:
            batch.add("SET", remote_viewers_key(self.stream_id), 1, "PX", viewers_ttl_ms)

    def add_records(self, records: bytes, next_offset: int) -> None:
        """Add the frames of log records that end before byte `next_offset` of the log."""
        part = decode(records, len(self.frames))
        self._offset = 0 if part.torn else next_offset
        if part.frames or part.ended:
            self.extend(part.frames, ended=part.ended, failed=part.failed)

    def keep(self, now: float) -> None:
        """Restart the idle timeout."""
        self._last_used_at = now

    async def wait_for(self, number: int) -> None:
        """Wait for frame `number`, the end, or all that the worker has produced by now."""
        enough = self._renewals + RENEWALS_TO_CATCH_UP
        # Counted as a viewer, so that the log is read and the worker does not give up the stream.
        self.viewers += 1
        try:
            while len(self.frames) <= number and not self.ended and self._renewals < enough:
                await self.wait_for_more()
        finally:
            self.viewers -= 1

    def on_lease(self, now: float, reply: object) -> None:
        """Process the value of the worker's lease, None if it has expired."""
        self._lease = reply if isinstance(reply, bytes) else self._counted_lease
        self.lease_missing_since = (self.lease_missing_since or now) if reply is None else None
        self._give_up(now, self.lease_missing_since)

    def _on_log(self, now: float, offset: int, reply: object) -> None:
        if not isinstance(reply, bytes):
            # A part of Redis is unavailable: what seemed to be missing may exist.
            self.lease_missing_since = self._log_missing_since = None
            return
        if self.ended:
            return
        if self._lease != self._counted_lease:
            self._counted_lease = self._lease
            self._renewals += 1
            self.wake()
        known = len(self.frames)
        if offset and reply:
            self.add_records(reply, offset + len(reply))
        elif not offset and (decoded := decode_header(reply)):
            self._log_missing_since = None
            self.add_records(decoded[1], len(reply))
        elif not offset:
            # The log has expired, or Redis lost it and its worker does not write it again.
            self._log_missing_since = self._log_missing_since or now
            self._give_up(now, self._log_missing_since)
        if reply:
            self._last_data_at = now
        if len(self.frames) > known:
            # The new frames may include the end: only a silent stream is lost.
            self.lease_missing_since, self.lost = None, False

    def _on_ttl(self, reply: object) -> None:
        """Give up a silent log that is not renewed: its worker considers the stream ended."""
        if isinstance(reply, int) and reply > 0:
            self.max_ttl_seen = max(self.max_ttl_seen, reply)
            expiring = reply < self.max_ttl_seen - MAX_EXPIRY_DROP
            self.lost = self.lost or (expiring and not self.ended)

    def _give_up(self, now: float, missing_since: float | None) -> None:
        missing_for_long = missing_since is not None and now > missing_since + LOST_TIMEOUT
        self.lost = self.lost or (missing_for_long and not self.ended)
