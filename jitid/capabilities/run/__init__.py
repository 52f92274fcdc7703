"""Run a command with a credential: deliver its token, start it, supervise it."""
