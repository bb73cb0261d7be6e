"""Chrysopedia Chat: grounded, cited, streamed answers from creators' own videos and pages."""

__version__ = "0.2.0"
