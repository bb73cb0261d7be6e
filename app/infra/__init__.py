"""Infrastructure for the services: PostgreSQL, Redis, an HTTP client and embedded servers."""
