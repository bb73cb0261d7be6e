"""Commands come in, with what takes their replies; they go to Redis in one round trip.

Here are the names of all that is kept there, too:

    turn:{T}:log      the log of a turn, as `records` has it
    turn:{T}:watched  there while somebody follows the turn on another worker
    worker:{W}:lease  there while the worker lives: how many ticks it has done
    worker:{W}:stop   the turns of that worker which are to stop

The braces put what belongs together into one slot of a Redis cluster.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from app.infra.redis import REDIS_ERRORS, RedisClient

# Commands in one script, which nothing else in Redis can come between: 500 take it about a
# millisecond.
MAX_COMMANDS = 500

# ARGV[1] commands, as an array of arrays in MessagePack.
# Gives an array in MessagePack, of the replies that are numbers, where OK counts as 1 and an empty
# array as 0, with false in the place of any other; those follow, each as it is, and an error is one
# of them. (Each that follows takes redis-py some 40,000 instructions.)
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


def log_key(turn_id: str) -> str:
    """Name the log of a turn."""
    return f"turn:{{{turn_id}}}:log"


def watched_key(turn_id: str) -> str:
    """Name what tells that a turn is followed on another worker than its own."""
    return f"turn:{{{turn_id}}}:watched"


def lease_key(worker: str) -> str:
    """Name what tells that a worker lives."""
    return f"worker:{{{worker}}}:lease"


def stop_key(worker: str) -> str:
    """Name the set of a worker's turns that are to stop."""
    return f"worker:{{{worker}}}:stop"


class Batch:
    """Commands to be sent together, each with what takes its reply: a value, or an exception.

    The reply OK comes as something that equals 1. One server gets a script that runs the commands
    in their order, on keys that it does not name beforehand: 3,000 instructions of this worker a
    command, while a pipeline of redis-py takes 100,000. A cluster gets the pipeline: there a script
    may have the keys of one turn alone, and would be dearer than its commands.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._commands: list[tuple[str | int, ...]] = []
        self._takers: list[Callable[[Any], None]] = []

    def add(self, take: Callable[[Any], None], *command: str | int) -> None:
        """Add a command: its name, its one key, and more."""
        self._commands.append(command)
        self._takers.append(take)

    async def execute(self) -> bool:
        """Send all, hand out the replies, and tell whether Redis answered."""
        replies: list[Any] = []
        try:
            if isinstance(self._redis, Redis):
                for first in range(0, len(self._commands), MAX_COMMANDS):
                    part = self._commands[first : first + MAX_COMMANDS]
                    replies.extend(await _run(self._redis, part))
            else:
                pipeline = self._redis.pipeline(transaction=False)
                for command in self._commands:
                    pipeline.execute_command(*command)
                replies = await pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            # Some of it may have been done all the same: nobody can tell.
            replies.extend([error] * (len(self._takers) - len(replies)))
        for take, reply in zip(self._takers, replies, strict=True):
            take(reply)
        return not any(isinstance(reply, Exception) for reply in replies)


async def _run(redis: Redis, commands: Sequence[tuple[str | int, ...]]) -> Iterator[Any]:
    """Run commands by the script; raises one of REDIS_ERRORS."""
    packed, *others = await redis.eval(COMMANDS, 0, msgspec.msgpack.encode(commands))
    following = iter(others)
    numbers = msgspec.msgpack.decode(packed)
    return (next(following) if number is False else number for number in numbers)


def ignore(reply: object) -> None:
    """Take a reply that nothing depends on."""
