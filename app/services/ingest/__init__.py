"""Find a library's documents, parse them into passages and write those to PostgreSQL."""
