"""Load test with Locust. See README.md."""
