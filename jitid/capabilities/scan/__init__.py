"""Looking for strings of ours in files, archives and histories: what is there, where, and in several processes."""
