"""Write documents to PostgreSQL, and update what searches need."""
