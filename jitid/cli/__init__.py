"""The command line: how it is read, one verb a file, and what it prints."""
