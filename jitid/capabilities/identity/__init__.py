"""Credentials and tasks: verified, listed, revoked, retired."""
