"""Measure search and answers on datasets of questions with known answers."""
