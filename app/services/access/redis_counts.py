"""Counts of all workers in Redis."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from app.infra.redis import RedisClient
from app.services.access.changes import Changes, Command
from app.services.access.counts import DAY, SECOND, Demand, Use, lifetime, price, refused
from app.services.access.limits import Holder

# KEYS one hash per holder: `full_at`, `asked:DAY`, `tokens:DAY`, and for each running turn
# `turn:ID` with its expiry; times are in microseconds · ARGV[1] in MessagePack: the cost, the field
# of the turn or "", commands to run first, and the limits of each holder.
# Charges all holders or none. A turn that is already there was charged before its reply was lost.
# Returns in MessagePack the server's time and one `Use` per holder.
ADMIT = """
local cost, turn, first, limits = unpack(cmsgpack.unpack(ARGV[1]))
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local day = math.floor(time[1] / 86400)
local to_midnight = (day + 1) * 86400 - time[1]
local asked_field, tokens_field = 'asked:' .. day, 'tokens:' .. day
local room = turn == '' and 120000000 or 60000000
for _, command in ipairs(first) do redis.call(unpack(command)) end
local uses, writes, admitted = {}, {}, true

for i, key in ipairs(KEYS) do
  local per_minute, per_day, at_once, tokens_per_day = unpack(limits[i])
  local counts, running, stale, repeated = {}, 0, {}, false
  local fields = redis.call('HGETALL', key)
  for f = 1, #fields, 2 do
    local field, value = fields[f], tonumber(fields[f + 1])
    if field == 'full_at' or field == asked_field or field == tokens_field then
      counts[field] = value
    elseif field == turn then
      repeated, running = true, running + 1
    elseif string.sub(field, 1, 5) == 'turn:' and value > now then
      running = running + 1
    else
      stale[#stale + 1] = field
    end
  end
  local full_at = math.max(counts.full_at or 0, now)
  local asked, tokens = counts[asked_field] or 0, counts[tokens_field] or 0
  local charged, starts, reason, wait = 0, turn ~= '' and not repeated, '', 0
  if per_minute > 0 and not repeated then
    charged = math.floor(cost * 60000 / per_minute)
    local over = full_at + charged - now - room
    if over > 0 then reason, wait = 'minute', over end
  end
  if starts and at_once > 0 and running >= at_once then reason, wait = 'running', 0 end
  if starts and tokens_per_day > 0 and tokens >= tokens_per_day then
    reason, wait = 'tokens', to_midnight * 1000000
  end
  if starts and per_day > 0 and asked >= per_day then
    reason, wait = 'day', to_midnight * 1000000
  end
  admitted = admitted and reason == ''
  uses[i] = {reason, wait, full_at - now, asked, tokens, running}
  writes[i] = {stale, charged, starts, full_at}
end

for i, key in ipairs(KEYS) do
  local per_minute, per_day, at_once, tokens_per_day = unpack(limits[i])
  local stale, charged, starts, full_at = unpack(writes[i])
  if #stale > 0 then redis.call('HDEL', key, unpack(stale)) end
  if admitted then
    local use, changes = uses[i], {}
    if per_minute > 0 then
      use[3] = use[3] + charged
      changes = {'full_at', string.format('%.0f', full_at + charged)}
    end
    if starts then
      use[4] = use[4] + 1
      changes[#changes + 1], changes[#changes + 2] = asked_field, use[4]
      if at_once > 0 then
        use[6] = use[6] + 1
        changes[#changes + 1] = turn
        changes[#changes + 1] = string.format('%.0f', now + 60000000)
      end
    end
    if #changes > 0 then redis.call('HSET', key, unpack(changes)) end
    local daily = per_day > 0 or tokens_per_day > 0
    redis.call('EXPIRE', key, daily and to_midnight + 180 or 180)
  end
end
return cmsgpack.pack({now, uses})
"""


class _Reply(msgspec.Struct, frozen=True, array_like=True):
    now: int
    uses: list[Use]


_REPLY = msgspec.msgpack.Decoder(_Reply)


class RedisCounts:
    """Counts in Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        # How far the server's clock is ahead of ours.
        self._ahead = 0.0

    @property
    def now(self) -> float:
        """The server's Unix time."""
        return time.time() + self._ahead

    async def admit(
        self, holders: Sequence[Holder], demand: Demand, changes: Changes | None = None
    ) -> list[Use]:
        """Charge a request to all holders if none refuses, in one round trip.

        The holders' `changes` are made first. Raises one of REDIS_ERRORS.
        """
        changes = changes or Changes()
        if isinstance(self._redis, Redis):
            keys = [holder.key for holder in holders]
            packed = _pack(holders, demand, changes)
            return self._read(await self._redis.eval(ADMIT, len(keys), *keys, packed))
        # The keys of a script on a cluster must be in one slot.
        pipeline = self._redis.pipeline(transaction=False)
        for holder in holders:
            pipeline.eval(ADMIT, 1, holder.key, _pack([holder], demand, changes))
        uses = [use for reply in await pipeline.execute() for use in self._read(reply)]
        if refused(uses):
            charged = [h for h, use in zip(holders, uses, strict=True) if not use.refused]
            await self._give_back(charged, demand)
        return uses

    async def _give_back(self, holders: Sequence[Holder], demand: Demand) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for holder in holders:
            for command in giving_back(holder, demand, self.now):
                pipeline.execute_command(*command)
        await pipeline.execute()

    def _read(self, packed: Any) -> list[Use]:
        reply = _REPLY.decode(packed)
        self._ahead = reply.now / SECOND - time.time()
        return reply.uses


def turn_field(turn_id: str) -> str:
    """Return the field of a running turn."""
    return f"turn:{turn_id}"


def giving_back(holder: Holder, demand: Demand, now: float) -> list[Command]:
    """Return the commands that undo a charge."""
    charged = price(demand.cost, holder.limits.per_minute)
    commands: list[Command] = [("HINCRBY", holder.key, "full_at", -charged)]
    if demand.turn_id:
        commands.append(("HINCRBY", holder.key, f"asked:{int(now) // DAY}", -1))
        commands.append(("HDEL", holder.key, turn_field(demand.turn_id)))
    # The counts may have expired meanwhile, and these commands make them again.
    commands.append(("EXPIRE", holder.key, lifetime(holder.limits, now)))
    return commands


def _pack(holders: Sequence[Holder], demand: Demand, changes: Changes) -> bytes:
    turn = turn_field(demand.turn_id) if demand.turn_id else ""
    first = [command for holder in holders for command in changes.take(holder.key)]
    return msgspec.msgpack.encode((demand.cost, turn, first, [it.limits for it in holders]))
