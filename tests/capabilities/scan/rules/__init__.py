"""Rules for scanners, held to account by the scanners."""
