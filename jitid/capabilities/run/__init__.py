"""Running a command that holds a credential: where it finds its token, how it starts, who watches it."""
