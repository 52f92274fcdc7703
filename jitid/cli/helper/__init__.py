"""Credential helpers for other programs, one module for each program."""
