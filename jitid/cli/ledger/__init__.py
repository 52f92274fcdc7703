"""Verbs on the audit log, the signing keys and the ledger itself."""
