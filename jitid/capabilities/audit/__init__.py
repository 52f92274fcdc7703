"""The audit log as its readers use it."""
