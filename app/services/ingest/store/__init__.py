"""Write documents to PostgreSQL, and keep what searches need of them up to date."""
