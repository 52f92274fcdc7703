"""Where the secrets of a run are found by those who use them: one file for each sort of user."""
