"""Search for jitid's strings in files, archives and git histories, with their places, in several processes."""
