"""Sets of judged questions come in; how well each is found, and how fast, goes out."""
