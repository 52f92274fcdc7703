"""Pure values and their rules: names, ids, scopes, times, texts, secrets."""
