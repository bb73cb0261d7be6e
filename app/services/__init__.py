"""What the service does, knowing nothing of HTTP."""
