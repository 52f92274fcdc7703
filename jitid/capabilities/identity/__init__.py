"""Credentials and tasks: verification, queries, revocation and retirement."""
