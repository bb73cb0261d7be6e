"""Files of creators come in; passages that can be searched and cited go into PostgreSQL."""
