"""`jitid policy`: check, test, show, create and compare policies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.cli import record_rows
from jitid.cli.invocation import Invocation
from jitid.errors import ConfigurationError, ExitStatus, NotFoundError, UsageError
from jitid.formats.display import Display
from jitid.formats.figures import counted
from jitid.system import output
from jitid.values.text import quote, safe
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jitid.cli.policy import commands
    from jitid.config.policy_files import Folder
    from jitid.policy.catalogue import CataloguedRule
    from jitid.policy.policy_text import PolicyRule

CHECKED = ("file", "line", "column", "severity", "rule", "message")
RULE = ("rule", "effect", "actions", "max_ttl", "approval", "reads", "file", "line", "sha256")
BRIEF = ("rule", "effect", "actions", "max_ttl", "approval", "file")
TEXT = (*RULE, "text")


def check(cli: Invocation, args: commands.PolicyCheckCommand) -> None:
    """Perform `jitid policy check`."""
    from jitid.cli.policy.policy_place import grouped, in_force, must_hold_rules, place_of
    from jitid.config.policy_files import CEDAR
    from jitid.policy.check import check as examine

    cli.expect(CHECKED)
    folders = grouped(args.paths, CEDAR) if args.paths else [in_force(cli)]
    problems: list[dict[str, Any]] = []
    rules = files = 0
    for folder in folders:
        must_hold_rules(folder)
        whole = not args.paths or any(path == folder.path and os.path.isdir(path) for path in args.paths)
        checked = examine(folder.files, folder.use, whole=whole)
        rules += len(checked.rules)
        files += len(folder.files)
        for problem in checked.problems:
            severity = "warning" if problem.warning else "error"
            location = place_of(folder, problem.file)
            values = (location, *problem.place, severity, problem.rule, problem.message)
            problems.append(dict(zip(CHECKED, values, strict=True)))
        for refusal in folder.refused:
            cli.warn(refusal)
        _note_approvals(cli, checked.rules)
    errors = sum(row["severity"] == "error" for row in problems)
    totals = f"{counted(rules, 'rule')} in {counted(files, 'file')}"
    if cli.field is not None or cli.format_name() is not None:
        folder_paths = [folder.path for folder in folders]
        document = {
            "places": folder_paths,
            "rules": rules,
            "files": files,
            "errors": errors,
            "problems": problems,
        }
        cli.show(Display("jitid.policy-check/1", CHECKED, problems, document=document))
    else:
        for row in problems:
            rule = "" if row["rule"] is None else f"rule `{row['rule']}`: "
            location = f"{row['file']}:{row['line']}:{row['column']}"
            output.print_message(safe(f"{location}: {row['severity']}: {rule}{row['message']}"))
        if not errors:
            origin = "" if args.paths else f" of the policy in force, {safe(folders[0].path)}"
            output.write(f"{totals}{origin}: {'no error' if problems else 'in order'}\n")
    if errors:
        consequence = "it may refuse what it should permit, and permit what it should refuse"
        if any(_is_unusable(folder) for folder in folders):
            consequence = "as long as it stands so, nothing is issued by it"
        raise ConfigurationError(f"{counted(errors, 'error')} in the policy: {consequence}")


def _note_approvals(cli: Invocation, rules: Iterable[PolicyRule]) -> None:
    """Print a note about rules with `@approval` if no other person can approve."""
    from jitid.doctor import approvers

    names = [rule.name for rule in rules if rule.approval is not None]
    if names and approvers.are_missing(cli.config()):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        cli.note(f"rule `{names[0]}`{more} needs an approval; {approvers.WHY}; {approvers.HOW}")


def _is_unusable(folder: Folder) -> bool:
    """Return whether a policy cannot be used at all. An error against the schema alone appears only in a decision."""
    from jitid.policy.evaluate import Policy

    try:
        Policy(folder.files)
    except ConfigurationError:
        return True
    return False


def test(cli: Invocation, args: commands.PolicyTestCommand) -> None:
    """Perform `jitid policy test`."""
    from jitid.cli.policy.policy_trial import FIELDS, tried

    cli.expect(FIELDS)
    trial = tried(cli, args.paths or [], args.policy)
    if cli.by_eye():
        from jitid.formats import trial_text

        output.write_pieces(trial_text.text(trial.rows, trial.unreached, cli.coloured()))
    else:
        document = {
            "passed": len(trial.rows) - trial.failed,
            "failed": trial.failed,
            "cases": trial.rows,
            "rules": trial.rules,
            "unreached": trial.unreached,
        }
        cli.show(Display("jitid.policy-test/1", FIELDS, trial.rows, document=document))
        for row in trial.unreached:
            cli.note(f"rule `{row['rule']}` of {row['file']} is reached by no case")
    if trial.failed or (args.require_coverage and trial.unreached):
        cli.status = ExitStatus.FINDINGS


def show(cli: Invocation, args: commands.PolicyShowCommand) -> None:
    """Perform `jitid policy show`."""
    from jitid.cli.policy.policy_place import in_force, must_hold_rules, shipped, usable

    if args.text and args.rule is not None:
        raise UsageError("--text shows all files, and a rule is one", "leave one of them out")
    if args.default and args.digest is not None:
        raise UsageError("--default and --digest name two policies", "leave one of them out")
    cli.expect(TEXT if args.rule is not None else RULE)
    if args.text:
        cli.expect_own_form()
    folder = (
        shipped() if args.default else in_force(cli) if args.digest is None else _stored(cli, args.digest)
    )
    must_hold_rules(folder)
    if args.text:
        source_text = "\n".join(f"// {file}\n{body}" for file, body in folder.files)
        output.write(_harmless(source_text) if output.is_terminal() else source_text)
        return
    policy = usable(folder)
    entries = _entries(folder)
    if args.rule is not None:
        _show_rule(cli, entries, args.rule)
        return
    rows = [_rule_row(entry) for entry in entries]
    if cli.by_eye():
        names = ", ".join(file for file, _ in folder.files)
        output.write(safe(f"{folder.path}: {names}") + f"\npolicy {policy.digest}\n\n")
    document = {
        "policy": policy.digest,
        "place": folder.path,
        "files": [file for file, _ in folder.files],
        "rules": rows,
    }
    cli.show(Display("jitid.policy/1", record_rows.columns(cli, RULE, BRIEF), rows, document=document))


def init(cli: Invocation, args: commands.PolicyInitCommand) -> None:
    """Perform `jitid policy init`."""
    from shlex import quote as word

    from jitid.config.policy_files import write_new
    from jitid.policy.default import example_files

    cli.expect_own_form()
    if not args.folder.strip():
        raise UsageError("an empty path names nothing", "name a folder that is new or empty")
    files = example_files(with_default=args.with_default)
    write_new(args.folder, sorted(files))
    path = os.path.abspath(args.folder)
    cli.note(f"wrote {', '.join(sorted(name for name, _ in files))} into {path}")
    cli.note(f"change it to what you mean, and try it: jitid policy check {word(path)}")
    cli.note(f"with its cases: jitid policy test {word(path)}")
    cli.note("the zone of its hours: " + cli.command("jitid config set timezone Europe/Berlin"))
    effect = "it decides" if args.with_default else "it decides, in the place of the default policy,"
    if args.with_default:
        cli.note(
            "the prohibitions of the default policy apply to every agent, release-bot too: with --sensitivity high "
            "the delegator must be proved"
        )
    cli.note(f"{effect} from then on: " + cli.command(f"jitid config set policy {word(path)}"))


def _stored(cli: Invocation, digest: str) -> Folder:
    from jitid.cli.policy.policy_place import stored

    return stored(cli, digest)


def _entries(folder: Folder) -> list[CataloguedRule]:
    from jitid.policy.catalogue import catalogue

    return list(catalogue(folder.files))


def _rule_row(entry: CataloguedRule) -> dict[str, Any]:
    rule = entry.rule
    return {
        "rule": rule.name,
        "effect": rule.effect,
        "actions": list(rule.facts),
        "max_ttl": None if rule.max_ttl is None else format_duration(rule.max_ttl),
        "approval": rule.approval,
        "reads": list(entry.reads),
        "file": rule.file,
        "line": entry.line,
        "sha256": entry.sha256,
        "text": entry.text,
    }


def _show_rule(cli: Invocation, entries: list[CataloguedRule], name: str) -> None:
    from jitid.config.settings import nearest

    catalogued = next((entry for entry in entries if entry.rule.name == name), None)
    if catalogued is None:
        names = tuple(entry.rule.name for entry in entries)
        raise NotFoundError(f"the policy has no rule {quote(name)}", nearest(name, names))
    row = _rule_row(catalogued)
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.policy-rule/1", TEXT, [row], one=True))
        return
    # The original text, so that it can be copied; control characters for the terminal are escaped.
    output.write(_harmless(catalogued.text))


def _harmless(text: str) -> str:
    return "".join(f"{safe(line)}\n" for line in text.replace("\t", "  ").splitlines())


def diff(cli: Invocation, args: commands.PolicyDiffCommand) -> None:
    """Perform `jitid policy diff`."""
    from jitid.authority.open import open_authority
    from jitid.capabilities.decisions.operations import ReplayDecisions
    from jitid.cli.identity.list import limit_of
    from jitid.cli.policy import policy_diff
    from jitid.cli.policy.policy_place import compared, usable

    cli.expect(policy_diff.FIELDS)
    since_time = args.since
    max_count = None if args.limit is None else limit_of(args.limit)
    old_policy, new_policy = compared(cli, args.old), compared(cli, args.new)
    looks = usable(old_policy).looks.with_(usable(new_policy).looks)
    replayed = open_authority(cli.config()).perform(
        ReplayDecisions(old=tuple(old_policy.files), new=tuple(new_policy.files), since=since_time)
    )
    columns = record_rows.columns(cli, policy_diff.FIELDS, policy_diff.BRIEF)
    rows = [policy_diff.row(change, looks) for change in replayed.changes[:max_count]]
    by_eye = cli.by_eye()
    if rows or not by_eye:
        document = {
            "requests": replayed.requests,
            "credentials": replayed.credentials,
            "denials": replayed.denials,
            "changed": len(replayed.changes),
            "changes": rows,
        }
        cli.show(
            Display(
                "jitid.policy-diff/1",
                columns,
                [{name: row[name] for name in columns} for row in rows],
                document=document,
            )
        )
    if by_eye:
        output.write(
            "".join([*(["\n"] if rows else []), *(f"{line}\n" for line in policy_diff.summary(replayed))])
        )
    else:
        for line in policy_diff.summary(replayed):
            cli.note(line)
    if len(rows) < len(replayed.changes):
        cli.note(f"{len(replayed.changes) - len(rows):,} more rows were left out by --limit")
    if args.exit_code and replayed.changes:
        cli.status = ExitStatus.FINDINGS
