"""Deliver the secrets of a run to the programs that use them: one file for each kind of program."""
