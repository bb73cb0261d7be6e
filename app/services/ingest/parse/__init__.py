"""Parse documents into passages."""
