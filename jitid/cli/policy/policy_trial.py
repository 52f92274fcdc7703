"""`jitid policy test`: run the cases of policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.cli.invocation import Invocation
from jitid.cli.policy.policy_place import SHIPPED, grouped, in_force, named, place_of, usable
from jitid.config.policy_files import CASES, Folder, look_into
from jitid.config.settings import zone
from jitid.errors import ExitStatus, NotFoundError, UsageError
from jitid.formats import trial_text
from jitid.formats.cell import counted
from jitid.policy.cases import read_cases
from jitid.policy.trial import Result, attempt, unreached
from jitid.system import output
from jitid.values.text import quote, safe
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.cli.policy import commands


def test(cli: Invocation, args: commands.PolicyTestCommand) -> None:
    """Perform `jitid policy test`: the named cases, or those beside the policy.

    Raises:
        NotFoundError: there are no cases.
        UsageError: a file of cases has mistakes; all of them were printed on standard error.
        ConfigurationError: a policy cannot be used.

    """
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    mistakes = rules = 0
    for cases, source in _sources(cli, args.paths, args.policy):
        tested_policy = usable(source)
        results: list[Result] = []
        for file, text in cases.cases:
            file_cases, file_mistakes = read_cases(place_of(cases, file), text, zone)
            for mistake in file_mistakes:
                case = "" if mistake.case is None else f"case {quote(mistake.case)}: "
                output.print_message(safe(f"{mistake.file}:{mistake.line}: error: {case}{mistake.message}"))
            mistakes += len(file_mistakes)
            results += [attempt(tested_policy, case) for case in file_cases]
        rows += [args.view.row(result, _outcome(result)) for result in results]
        rules += len(tested_policy.rules)
        left_out += [
            {"rule": rule.name, "file": place_of(source, rule.file)}
            for rule in unreached(tested_policy, results)
        ]
    if mistakes:
        raise UsageError(
            f"{counted(mistakes, 'mistake')} in the cases, and none was tried", "see: man jitid-policy"
        )
    failed = sum(row["result"] == "failed" for row in rows)
    if cli.by_eye():
        output.write_pieces(trial_text.text(rows, left_out, cli.coloured()))
    else:
        document = {
            "passed": len(rows) - failed,
            "failed": failed,
            "cases": rows,
            "rules": rules,
            "unreached": left_out,
        }
        cli.show_records(args.view, rows, document=document)
        for rule in left_out:
            cli.note(f"rule `{rule['rule']}` of {rule['file']} is reached by no case")
    if failed or (args.require_coverage and left_out):
        cli.status = ExitStatus.FINDINGS


def _sources(cli: Invocation, paths: Sequence[str], policy: str | None) -> list[tuple[Folder, Folder]]:
    """Return folders with cases, each with the policy that its cases test."""
    tested_folder = None if policy is None else named(policy)
    folders = grouped(paths, CASES) if paths else [tested_folder or in_force(cli)]
    for folder in folders:
        if not folder.cases and folder.path == SHIPPED:
            raise NotFoundError(
                "the policy that jitid ships has no cases, and it is the one in force",
                "begin one of your own: jitid policy init DIR; or name a folder with cases",
            )
        if not folder.cases:
            raise NotFoundError(
                f"there are no cases in {quote(folder.path, 200)}",
                f"write them into a file whose name ends in {CASES}; for an example: jitid policy init DIR",
            )
    return [(folder, tested_folder or (look_into(folder.path) if paths else folder)) for folder in folders]


def _outcome(result: Result) -> dict[str, Any]:
    lifetime = result.answer.lifetime
    return {
        "result": "passed" if result.passed else "failed",
        "lifetime": None if lifetime is None else format_duration(lifetime),
        "expected": {difference.what: difference.expected for difference in result.differences} or None,
    }
