"""One module a figure: a stage comes in, what was measured on it goes out."""
