"""The nouns of jitid, one a file: frozen records, and their state at a given time."""
