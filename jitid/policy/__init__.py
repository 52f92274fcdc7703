"""From a request to a decision: what the policy permits, for how long, and which rule said so."""
