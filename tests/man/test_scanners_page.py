"""The page about scanners is correct about their rules, their reports, and the limits."""

from __future__ import annotations

import re

from jitid.capabilities.scan.reports.any_report import ReportFormat
from jitid.capabilities.scan.reports.json_reader import MAX_DEPTH, MAX_VALUE
from jitid.capabilities.scan.rules import token_patterns
from jitid.capabilities.scan.rules.rule_file import RuleFormat, rules
from jitid.capabilities.scan.rules.token_patterns import PATTERNS, TOKEN
from jitid.server import discovery, oauth
from tests.man.source import displays, items, plain, read, section

PAGE = read("jitid-scanners.7")
TEXT = plain(PAGE)


def test_every_rule_is_told() -> None:
    assert set(items(section(PAGE, "RULES"))) == {pattern.name for pattern in PATTERNS}
    assert f"--rule custom.{TOKEN.name} - < leaked" in TEXT
    assert f"--rule {TOKEN.name} < leaked" in TEXT


def test_every_scanner_that_there_are_rules_for_is_shown_with_them() -> None:
    shown = re.findall(r"^jitid scan --rules (\w+)", "\n".join(displays(PAGE)), re.MULTILINE)
    assert set(shown) == set(RuleFormat)


def test_the_heading_of_a_file_shows_the_options_of_the_page() -> None:
    """The page documents each long option in the heading of a rules file."""
    for format_ in RuleFormat:
        heading = rules(format_, "https://jitid.example").partition("rules:\n")[0].partition("title =")[0]
        options = set(re.findall(r"--[a-z][a-z-]+", heading)) - {"--from"}
        assert options
        assert [
            option for option in options if option not in TEXT and option.replace("--", "Fl -") not in TEXT
        ] == []


def test_every_report_that_is_read_is_told() -> None:
    assert set(items(section(PAGE, "REPORT FORMATS"))) == set(ReportFormat)


def test_the_bounds_and_places_are_those_of_the_code() -> None:
    assert (MAX_VALUE >> 20, MAX_DEPTH) == (4, 64)
    assert "at most 4 million characters, and at most 64 levels" in TEXT.replace("\n", " ")
    assert (token_patterns.STATUS, token_patterns.REVOKE) == (discovery.PLACE, oauth.REVOKE)
    assert all(f".Li {path}" in TEXT for path in (token_patterns.STATUS, token_patterns.REVOKE))
