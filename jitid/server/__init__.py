"""The authority over HTTP: the same operations, for authenticated callers."""
