"""A stream that this worker runs, and how its log in Redis is kept up to date."""

from collections.abc import Callable
from functools import partial

from app.services.streams.batch import Batch
from app.services.streams.buffer import StreamBuffer
from app.services.streams.keys import log_key, remote_viewers_key
from app.services.streams.log_format import Header, encode, encode_header

# The minimum number of seconds that the log of a running stream outlives its worker.
MIN_EXPIRY = 60.0
# Seconds between renewals of the log's expiry, which also show whether Redis still has the log.
RENEWAL_INTERVAL = 1.0


class LocalStream(StreamBuffer):
    """The buffer of a stream that this worker runs; `LogSync` writes its frames to Redis.

    `replay` is how many seconds an ended stream can be read. `on_stop` is called when a client asks
    to stop the stream.
    """

    def __init__(
        self, stream_id: str, header: Header, *, replay: float, on_stop: Callable[[], None]
    ) -> None:
        super().__init__(stream_id, header)
        self.on_stop = on_stop
        # A key in Redis that expires together with the log.
        self.idempotency_key: str | None = None
        # Whether the stream has ended and Redis has all of it.
        self.fully_logged = False
        # The loop time until which a viewer on another worker counts, and of the last check.
        self.remote_viewers_until = 0.0
        self.remote_viewers_checked_at: float | None = None
        self._key = log_key(stream_id)
        self._replay = replay
        # The frames and bytes that Redis has confirmed, and their numbers once it confirms the
        # current write.
        self._logged_frames = self._logged_bytes = 0
        self._sent_frames = self._sent_bytes = 0
        self._renew_at = 0.0
        self._give_up_at: float | None = None
        self._write_attempted = False
        self._discarded = False

    @property
    def expiry_ms(self) -> int:
        """How long the log of a running stream lasts without being renewed."""
        return round(max(self._replay, MIN_EXPIRY) * 1_000)

    def encoded_log(self) -> bytes:
        """Return the whole log as it should be in Redis."""
        record = encode(self.frames, 0, ended=self.ended, failed=self.failed)
        return encode_header(self.header) + record

    def write(self, batch: Batch, now: float) -> int:
        """Add the commands that bring the log up to date, and return how many bytes they write."""
        if self._discarded:
            batch.add("DEL", self._key, on_reply=self._on_deleted)
            return 0
        if self.ended:
            self._give_up(now)
        data = b""
        if self._logged_bytes == 0:
            data = self.encoded_log()
            batch.add("SET", self._key, _text(data), "PX", self._ttl_ms, on_reply=self._on_set)
        elif self._logged_frames < len(self.frames):
            new = self.frames[self._logged_frames :]
            data = encode(new, self._logged_frames, ended=self.ended, failed=self.failed)
            batch.add("APPEND", self._key, _text(data), on_reply=self._on_appended)
        self._sent_frames, self._sent_bytes = len(self.frames), self._logged_bytes + len(data)
        if self.ended or now >= self._renew_at:
            self._renew_at = now + RENEWAL_INTERVAL
            batch.add("PEXPIRE", self._key, self._ttl_ms, on_reply=self._on_renewed)
            if self.idempotency_key:
                batch.add("PEXPIRE", self.idempotency_key, self._ttl_ms)
        if not self.ended and self.viewers == 0:
            key = remote_viewers_key(self.stream_id)
            batch.add("PTTL", key, on_reply=partial(self._on_remote_viewers, now))
        return len(data)

    def discard(self) -> None:
        """Remove the log of a stream that produced nothing."""
        self._discarded = True

    async def wait_for_first_write(self) -> bool:
        """Wait for the first attempt to write the log; return whether Redis has it now."""
        while not self._write_attempted:
            await self.wait_for_more()
        return self._logged_bytes > 0

    @property
    def _ttl_ms(self) -> int:
        return max(1, round(self._replay * 1_000)) if self.ended else self.expiry_ms

    def _give_up(self, now: float) -> None:
        if self._give_up_at is None:
            self._give_up_at = now + self._replay
        elif now > self._give_up_at:
            # Redis was unavailable for as long as an ended stream can be read.
            self.fully_logged = True

    def _on_set(self, reply: object) -> None:
        if reply == 1:
            self._confirm()
        if not self._write_attempted:
            self._write_attempted = True
            self.wake()

    def _on_appended(self, reply: object) -> None:
        if reply == self._sent_bytes:
            self._confirm()
        else:
            # The log has another length than expected: an append was repeated after a lost reply,
            # or Redis lost its memory. The next write replaces the whole log.
            self._logged_bytes = 0

    def _on_deleted(self, reply: object) -> None:
        # If this failed the log expires.
        self.fully_logged = True

    def _on_renewed(self, reply: object) -> None:
        if not reply or isinstance(reply, Exception):
            self._logged_bytes = 0

    def _confirm(self) -> None:
        self._logged_frames, self._logged_bytes = self._sent_frames, self._sent_bytes
        self.fully_logged = self.ended and self._logged_frames == len(self.frames)

    def _on_remote_viewers(self, now: float, reply: object) -> None:
        ttl_ms = reply if isinstance(reply, int) else 0
        # Never earlier than before: while Redis is unavailable viewers elsewhere cannot report
        # themselves, and after it lost its memory they do so with their next poll.
        self.remote_viewers_until = max(self.remote_viewers_until, now + max(0, ttl_ms) / 1_000)
        self.remote_viewers_checked_at = now


def _text(data: bytes) -> str:
    # Frames are UTF-8. One that is not spoils its own log, but not the whole batch.
    return data.decode(errors="replace")
