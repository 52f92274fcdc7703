"""Credentials of AWS: sessions of roles, and access keys."""
