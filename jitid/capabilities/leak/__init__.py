"""Leaks: strings traced to credentials, reported, followed until closed."""
