"""Pure values and their laws: names, ids, scopes, times, texts, secrets."""
