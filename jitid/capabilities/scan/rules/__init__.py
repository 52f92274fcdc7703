"""Rules by which secret scanners find jitid's tokens, one scanner per module."""
