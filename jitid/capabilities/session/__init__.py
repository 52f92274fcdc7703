"""Sessions of coding agents: each session and each subagent has a separate identity."""
