"""Issuers: one file for each kind of credential. Each makes the secret that an agent holds."""
