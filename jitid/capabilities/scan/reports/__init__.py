"""Readers for reports of secret scanners (the string and its place), one format per module."""
