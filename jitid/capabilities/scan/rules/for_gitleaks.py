"""Rules for gitleaks 8: https://github.com/gitleaks/gitleaks#configuration."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.capabilities.scan.rules.token_patterns import Pattern

_HEADING = """\
# Rules for the tokens of jitid, for gitleaks 8:
#
#   gitleaks git --config THIS --report-format json --report-path found.json .
#   jitid leak add --from found.json
#
# For the rules of gitleaks too, add two lines below the title:  [extend]  and  useDefault = true
# Private keys have no fixed form: jitid scan finds those of its certificates.

title = "jitid"
"""


def rules(patterns: Sequence[Pattern]) -> str:
    """Return the file, in TOML."""
    return "\n".join([_HEADING, *map(_rule, patterns)])


def _rule(pattern: Pattern) -> str:
    return f"""\
[[rules]]
id = "{pattern.name}"
description = "{pattern.description}"
regex = '''{pattern.regex}'''
keywords = ["{pattern.keyword}"]
"""
