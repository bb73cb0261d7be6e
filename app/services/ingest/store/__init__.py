"""Write documents, indexes and embeddings to the database."""
