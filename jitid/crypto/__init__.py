"""Encodings of standards: JWS, X.509, SSH, status lists, keys."""
