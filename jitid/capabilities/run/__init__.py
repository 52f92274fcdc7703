"""Parts of `jitid run`: deliver tokens, start and supervise the command. `cli/issue` joins them and renews."""
