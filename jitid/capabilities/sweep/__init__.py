"""Sweeps: find credentials that should not be live by rules (one per module), report them, and revoke them."""
