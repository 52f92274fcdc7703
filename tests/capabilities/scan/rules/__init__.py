"""Rules for scanners, tested with the real scanners."""
