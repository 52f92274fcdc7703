"""Find strings that jitid issued in any text."""
