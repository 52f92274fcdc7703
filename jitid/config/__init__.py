"""The settings, where each value comes from, and the files they stand in."""
