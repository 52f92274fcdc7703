"""The man pages that are written by hand: what they say is what the code does."""
