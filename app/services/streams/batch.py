"""Redis commands sent together in one round trip."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from app.infra.redis import REDIS_ERRORS, RedisClient

# A script blocks Redis: 500 commands take about a millisecond.
MAX_COMMANDS = 500

# Runs the commands in ARGV[1], an array of arrays in MessagePack. Returns an array in MessagePack
# of the replies that are numbers, where OK counts as 1 and an empty array as 0, with false in place
# of any other; then the other replies, including errors, in order. (redis-py needs some 40,000
# instructions for each reply that is not in the first array.)
COMMANDS = """
local numbers, replies = {}, {''}
for i, command in ipairs(cmsgpack.unpack(ARGV[1])) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == 'table' and reply.ok then
    reply = 1
  elseif type(reply) == 'table' and next(reply) == nil then
    reply = 0
  end
  if type(reply) == 'number' then
    numbers[i] = reply
  else
    numbers[i] = false
    replies[#replies + 1] = reply
  end
end
replies[1] = cmsgpack.pack(numbers)
return replies
"""


class Batch:
    """Commands of one key each, with callbacks for their replies.

    A callback gets the reply or an exception; the reply OK equals 1. A single server runs a script:
    3,000 instructions of this process a command, against 100,000 in a pipeline of redis-py. A
    cluster gets the pipeline, since there a script may only use keys of one slot.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._commands: list[tuple[str | int, ...]] = []
        self._callbacks: list[Callable[[Any], None] | None] = []

    def add(self, *command: str | int, on_reply: Callable[[Any], None] | None = None) -> None:
        """Add a command: its name, its one key, and further arguments."""
        self._commands.append(command)
        self._callbacks.append(on_reply)

    async def execute(self) -> bool:
        """Send the commands, call the callbacks, and return whether every command succeeded."""
        replies: list[Any] = []
        try:
            if isinstance(self._redis, Redis):
                for first in range(0, len(self._commands), MAX_COMMANDS):
                    part = self._commands[first : first + MAX_COMMANDS]
                    replies.extend(await _run_script(self._redis, part))
            else:
                pipeline = self._redis.pipeline(transaction=False)
                for command in self._commands:
                    pipeline.execute_command(*command)
                replies = await pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            # Redis may have executed some of the commands whose replies are missing.
            replies.extend([error] * (len(self._commands) - len(replies)))
        for callback, reply in zip(self._callbacks, replies, strict=True):
            if callback is not None:
                callback(reply)
        return not any(isinstance(reply, Exception) for reply in replies)


async def _run_script(redis: Redis, commands: Sequence[tuple[str | int, ...]]) -> Iterator[Any]:
    packed, *others = await redis.eval(COMMANDS, 0, msgspec.msgpack.encode(commands))
    following = iter(others)
    numbers = msgspec.msgpack.decode(packed)
    return (next(following) if number is False else number for number in numbers)
