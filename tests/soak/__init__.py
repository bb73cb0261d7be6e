"""Soak test: many streams while clients reconnect and workers restart. See README.md."""
