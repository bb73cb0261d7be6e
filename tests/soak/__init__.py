"""Soak test: many streams with impatient clients, on workers that are restarted; see README."""
