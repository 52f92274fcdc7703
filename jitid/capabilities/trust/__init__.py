"""Trust data for verifiers: signing keys, certificates, status lists, revocation lists."""
