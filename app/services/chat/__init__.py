"""Answer a question: recall, search, prompt, stream, remember."""
