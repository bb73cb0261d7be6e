"""Who may do what: tables of callers, routes and credentials, over two workers."""
