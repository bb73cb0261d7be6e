"""Database, Redis, HTTP and embedded servers that the services stand on."""
