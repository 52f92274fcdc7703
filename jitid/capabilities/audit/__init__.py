"""Read, sign and cut the audit log."""
