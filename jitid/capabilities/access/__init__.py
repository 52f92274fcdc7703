"""Access to an authority, and authentication of its callers."""
