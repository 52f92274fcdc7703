"""Generators of files from the command tree: completions, man pages, and the table of plain lines."""
