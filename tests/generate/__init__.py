"""Writes what is generated from the command tree: completions and man pages."""
