"""The ledger: what was issued, to whom, for what, and what became of it; never the secret."""
