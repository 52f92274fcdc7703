"""The keyring: the signing keys of a ledger."""
