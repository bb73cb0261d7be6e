"""Access control: who makes a request, what they may read, and how much they may use."""
