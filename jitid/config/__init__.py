"""The settings, the origin of each value, and the configuration files."""
