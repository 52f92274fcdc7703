"""Verbs on credentials and tasks."""
