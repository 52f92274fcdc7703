"""Completion: what the ledger offers, what the scripts offer in the real shells, and where they are put."""
