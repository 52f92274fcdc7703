"""Checks of an installation, its ledger, and a remote authority."""
