"""A reference model of the promises, and a state machine that holds jitid to it."""
