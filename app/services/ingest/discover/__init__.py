"""List the documents of a library from its folders or its manifest."""
