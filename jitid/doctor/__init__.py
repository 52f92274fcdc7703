"""Checks of an installation, its ledger, and an authority elsewhere."""
