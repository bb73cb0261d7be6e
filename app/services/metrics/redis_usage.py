"""Memory of Redis, read when metrics are collected."""

import asyncio
import logging
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.infra.connection_errors import describe
from app.infra.redis import REDIS_ERRORS, RedisClient
from app.services.metrics.registry import PREFIX

log = logging.getLogger(__name__)


class RedisUsage(Collector):
    """The memory of one server as of the last `read`, which takes at most `timeout` seconds.

    There are no values of a cluster, and of a server that refuses INFO.
    """

    def __init__(self, redis: RedisClient, *, timeout: float) -> None:
        self._redis = redis if isinstance(redis, Redis) else None
        self._timeout = timeout
        self._info: dict[str, float] = {}

    async def read(self) -> None:
        """Read the values in one round trip."""
        self._info = {}
        if self._redis is None:
            return
        try:
            async with asyncio.timeout(self._timeout):
                self._info = await self._redis.info()
        except ResponseError as error:
            log.info("no metrics of Redis' memory: INFO is refused: %s", describe(error))
            self._redis = None
        except REDIS_ERRORS as error:
            log.warning("the memory of Redis cannot be read: %s", describe(error))

    def collect(self) -> Iterator[Metric]:
        """Yield the values that are known."""
        for name, documentation, field in (
            ("memory_used_bytes", "Memory used by Redis.", "used_memory"),
            ("memory_limit_bytes", "Limit of Redis' memory, 0 for none.", "maxmemory"),
        ):
            if field in self._info:
                yield GaugeMetricFamily(
                    f"{PREFIX}redis_{name}", documentation, float(self._info[field])
                )
        if "evicted_keys" in self._info:
            yield CounterMetricFamily(
                f"{PREFIX}redis_evicted_keys",
                "Keys that Redis evicted because its memory was full.",
                float(self._info["evicted_keys"]),
            )
