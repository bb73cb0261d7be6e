"""Chrysopedia Chat: grounded, cited, streamed answers from creators' own videos and pages."""

__version__ = "0.1.0"
