"""Many streams, clients that come and go, and workers that are restarted under them: see README."""
