"""`jitid scan --rules`: a file of rules for another scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.scan.rules.rule_file import RuleFormat, rules
from jitid.capabilities.scan.rules.token_patterns import check_place
from jitid.errors import UsageError
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation


def print_rules(cli: Invocation, scanner: str | None, authority: str | None, *, searches: bool) -> None:
    """Print the rules for a scanner. Rules that can query an authority query the named or the configured one.

    `searches`: the line has options or paths for a search.

    Raises:
        UsageError: no scanner is named, it has no rules, it cannot query that authority, or the line is for a search.

    """
    if scanner is None:
        raise UsageError(
            "--authority goes with --rules", "name a scanner with --rules, or leave --authority out"
        )
    if searches:
        raise UsageError(
            "with --rules nothing is searched, and nothing else stands on the line",
            f"jitid scan --rules {scanner} > FILE",
        )
    cli.format = cli.special_format or cli.format
    cli.expect_own_form()
    format_ = RuleFormat(scanner)
    address = _place(cli, format_, authority)
    output.write(rules(format_, address))
    if address is None and format_.queries_authority:
        cli.note(
            f"these find, and ask nobody: with --authority URL {format_} also tells what works, and ends it"
        )


def _place(cli: Invocation, format_: RuleFormat, authority: str | None) -> str | None:
    if authority is not None:
        if not format_.queries_authority:
            raise UsageError(
                f"{format_} asks nobody about what it finds",
                "leave --authority out, or write rules for kingfisher",
            )
        return check_place(authority)
    remote = cli.config().remote
    if remote is None or not format_.queries_authority:
        return None
    try:
        return check_place(str(remote))
    except UsageError as error:
        cli.note(f"{error.message}: {error.hint}")
        return None
