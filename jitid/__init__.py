"""Just-in-time identity for AI agents."""

__version__ = "0.1.0"
