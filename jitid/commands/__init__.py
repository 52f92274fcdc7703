"""The verbs, one a file: each parses, performs one operation, and hands the result to a format."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "config show": ("config:show", "Show the settings in force."),
    "config get": ("config:get", "Print the value of one setting."),
    "config set": ("config:set_", "Write one setting to the user's file."),
    "config path": ("config:path", "Print the path of the user's file."),
}
"""Verb -> module of `commands/` and function in it, and the first sentence of its help.

A module is imported when its verb is used, never for a list of verbs.
"""

GROUPS: dict[str, str] = {
    "config": "Read and change the settings.",
}
"""The first words of verbs that have two, and the sentence about them."""
