"""Directory of delegators and agents, and the limits of delegation."""
