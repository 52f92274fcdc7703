"""Programs that ask for credentials in a way of their own, one a file."""
