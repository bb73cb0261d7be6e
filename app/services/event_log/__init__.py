"""The frames of turns come in; anyone may read a turn on any worker, while it runs and after."""

from app.services.event_log.frames import Frames, SentAway, Viewer
from app.services.event_log.logged import LoggedTurn
from app.services.event_log.redis_log import RedisEventLog

__all__ = ["Frames", "LoggedTurn", "RedisEventLog", "SentAway", "Viewer"]
