"""Access control: rate limits."""
