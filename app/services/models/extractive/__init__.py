"""Answers composed from the sources' own sentences, without a language model."""
