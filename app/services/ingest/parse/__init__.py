"""Parse the files of a library into passages."""
