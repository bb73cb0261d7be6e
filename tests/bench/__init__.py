"""Benchmarks: `python -m tests.bench` (a chat) and `python -m tests.bench.growth` (a library)."""
