"""Counters and histograms of one worker."""
