"""The kinds of credential, one a file: each makes the secret that an agent holds."""
