"""Credentials of OpenBao or Vault, and signing keys in its transit engine."""
