"""Output formats of results: table, lines, JSON and CSV; one file for each format."""
