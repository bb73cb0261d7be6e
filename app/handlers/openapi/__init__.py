"""The OpenAPI document: generated from the service's own types and served at `/openapi.json`."""

from app.handlers.openapi.api_docs import ApiDocs as ApiDocs
