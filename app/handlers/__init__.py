"""One file per resource: a request comes in, a reply or a stream goes out."""
