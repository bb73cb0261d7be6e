"""People who use the service, as locust plays them, and what their streams tell of it."""
