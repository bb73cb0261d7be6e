"""Load test: users simulated by locust, and measurements of their streams."""
