"""Credentials, identities and tasks in the ledger: recognition, verification, and the effects of a revocation."""
