"""The Model Context Protocol on standard input and output, by which an agent requests identities itself."""
