"""Policy decisions: explanation, replay with another policy, and suggestion of policies."""
