"""Entries of jitid in the configurations of other programs: written, checked and removed again."""
