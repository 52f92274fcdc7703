"""Policy decisions: explained, tried again with another policy, suggested."""
