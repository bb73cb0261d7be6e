"""Application logic, independent of HTTP."""
