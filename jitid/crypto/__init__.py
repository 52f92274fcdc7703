"""Standard encodings: JWS, X.509, SSH, status lists, keys."""
