"""Whoever explores the service asks; what it can be asked goes out, as OpenAPI and as a page."""

from app.handlers.openapi.api_docs import ApiDocs as ApiDocs
