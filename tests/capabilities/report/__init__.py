"""The report: what it measures, how it is written, and how it looks in a real browser."""
