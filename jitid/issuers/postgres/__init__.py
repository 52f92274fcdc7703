"""Credentials of PostgreSQL: a role for each."""
