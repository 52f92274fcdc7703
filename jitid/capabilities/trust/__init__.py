"""What verifiers need: signing keys, certificates, status lists, revocation lists."""
