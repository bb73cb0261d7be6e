"""Benchmarks; they take minutes and are not part of the tests."""
