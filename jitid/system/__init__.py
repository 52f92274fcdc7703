"""This machine and the network: files, processes, connections, standard output."""
