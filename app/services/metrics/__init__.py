"""Metrics of one worker."""
