"""Find the documents of a library."""
