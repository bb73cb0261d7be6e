"""Hostile clients, a hostile model and a hostile library beside paced streams."""
