"""The command line: its parser, one module for each verb, and its output."""
