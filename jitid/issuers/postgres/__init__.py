"""Credentials of PostgreSQL: one role for each credential."""
