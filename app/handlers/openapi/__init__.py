"""The OpenAPI document: generated from the service's own types and served at `/openapi.json`."""
