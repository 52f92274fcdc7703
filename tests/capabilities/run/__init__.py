"""Running commands: real processes, real signals."""
