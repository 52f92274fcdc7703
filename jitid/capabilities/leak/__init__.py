"""Leaks: trace strings to credentials, report them, and follow each leak until it is closed."""
