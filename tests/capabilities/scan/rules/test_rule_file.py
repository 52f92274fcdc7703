"""Rule files: the rules that a parser of their format reads, and the addresses that they accept."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.scan.rules.rule_file import RuleFormat, rules
from jitid.capabilities.scan.rules.token_patterns import PATTERNS, check_place
from jitid.errors import UsageError
from tests.real import Shell, module

PLACE = "https://jitid.example/base"


def read(format_: RuleFormat, place: str | None) -> list[dict[str, Any]]:
    """Return the rules of a file in the structure of its format."""
    text = rules(format_, place)
    if format_ is RuleFormat.KINGFISHER:
        found = module("yaml").safe_load(text)["rules"]
    else:
        found = tomllib.loads(text)["rules"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("format_", RuleFormat)
def test_each_pattern_is_a_rule(format_: RuleFormat) -> None:
    shown = [one["pattern"] if "pattern" in one else f"({one['regex']})" for one in read(format_, PLACE)]
    assert shown == [f"({pattern.regex})" for pattern in PATTERNS]


@pytest.mark.parametrize("format_", RuleFormat)
def test_an_address_stands_in_rules_that_ask_and_in_no_others(format_: RuleFormat) -> None:
    """Without an address, no rule makes a request."""
    assert ("jitid.example" in rules(format_, PLACE)) is format_.queries_authority
    asking = {"validation", "revocation", "validate", "revoke"}
    for one in read(format_, PLACE):
        assert bool(asking & one.keys()) is format_.queries_authority
    for one in read(format_, None):
        assert not asking & one.keys()


@pytest.mark.parametrize("format_", RuleFormat)
def test_one_pattern_makes_one_rule(format_: RuleFormat) -> None:
    assert rules(format_, None, PATTERNS[:1]) in rules(format_, None)


def test_no_rule_holds_a_token_or_a_credential() -> None:
    """Otherwise a scan of the code that contains the file would report the file."""
    for format_ in RuleFormat:
        text = rules(format_, PLACE)
        assert not [one for one in PATTERNS if re.search(one.regex, text)]


@pytest.mark.parametrize(
    "address",
    [
        "https://a.example",
        "https://a.example:8443/x/",
        "http://127.0.0.1:8477",
        "https://[2001:db8::1]:8443",
    ],
)
def test_where_an_authority_may_be(address: str) -> None:
    assert check_place(address) == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        "http://a.example",
        "unix:///run/jitid.sock",
        "https://a.example/'''",
        "https://a.example/{{TOKEN}}",
        'https://a.example/"+x',
        "https://a.example/%27",
        "https://a.example/?x",
        "https://u:p@a.example",
        "https://a.example\nx",
        "",
    ],
)
def test_where_no_scanner_asks(address: str) -> None:
    """An address cannot contain characters that have a meaning in a rule format."""
    with pytest.raises(UsageError):
        check_place(address)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (("--rules", "semgrep"), "invalid scanner that rules are for: `semgrep`"),
        (("--rules", "kingfisher", "."), "--rules cannot be combined with paths"),
        (("--authority", PLACE), "--authority requires --rules"),
        (("--rules", "gitleaks", "--authority", PLACE), "gitleaks cannot query an authority"),
    ],
)
def test_a_line_that_cannot_be_meant_is_refused(tmp_path: Path, line: tuple[str, ...], why: str) -> None:
    done = Shell(tmp_path).run("scan", *line)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_the_configured_authority_is_asked_and_no_ledger_is_made(tmp_path: Path) -> None:
    """Rules contain the configured authority, unless `--authority` names another one."""
    shell = Shell(tmp_path)
    assert shell.good("scan", "--rules", "betterleaks", "--remote", PLACE) == rules(
        RuleFormat.BETTERLEAKS, PLACE
    )
    alone = shell.run("scan", "--rules", "kingfisher")
    assert alone.stdout == rules(RuleFormat.KINGFISHER, None)
    assert "with --authority URL, kingfisher can also check and revoke tokens" in alone.stderr
    assert not shell.ledger.exists()
