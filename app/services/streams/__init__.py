"""The frames of turns come in; anyone may read a turn on any worker, while it runs and after."""

from app.services.streams.buffer import ReconnectElsewhere, StreamBuffer, Viewer
from app.services.streams.event_store import EventStore
from app.services.streams.local import LocalStream

__all__ = ["EventStore", "LocalStream", "ReconnectElsewhere", "StreamBuffer", "Viewer"]
