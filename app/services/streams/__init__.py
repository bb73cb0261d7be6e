"""Durable streams: producers run independently of connections; any worker serves viewers.

See README.md in this folder.
"""

from app.services.streams.abandonment import AbandonmentTimer
from app.services.streams.buffer import ReconnectElsewhere, StreamBuffer, Viewer
from app.services.streams.event_store import EventStore
from app.services.streams.grace import Grace
from app.services.streams.heartbeat import Heartbeat
from app.services.streams.idempotency import IdempotencyKey, IdempotencyStore
from app.services.streams.local import LocalStream
from app.services.streams.remote import RemoteStream
from app.services.streams.runner import Producer, StopReason, StreamRunner

__all__ = [
    "AbandonmentTimer",
    "EventStore",
    "Grace",
    "Heartbeat",
    "IdempotencyKey",
    "IdempotencyStore",
    "LocalStream",
    "Producer",
    "ReconnectElsewhere",
    "RemoteStream",
    "StopReason",
    "StreamBuffer",
    "StreamRunner",
    "Viewer",
]
