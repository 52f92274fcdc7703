"""Issuers make the secrets that agents hold: one file for each kind, named after its member of `Kind`."""
