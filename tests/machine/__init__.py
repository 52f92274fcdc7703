"""A reference model of the promises, and a state machine that compares jitid with it."""
