"""The records of jitid, one a file: frozen, with their state at a given time."""
