"""Search a library and decide whether it can answer."""
