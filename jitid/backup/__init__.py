"""Backups of a ledger, restored from them, and a ledger copied to another place."""
