"""`jitid policy check`, `show` and `init`: check, show and create policies.

And `jitid policy test` and `diff`: run the cases of policies, and compare the decisions of two policies.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.authority.open_local import home_path, policy_files, policy_place
from jitid.capabilities.decisions.operations import ReplayDecisions, StoredPolicy
from jitid.cli.invocation import Invocation
from jitid.cli.progress import performed
from jitid.config.policy_files import (
    CASES,
    CEDAR,
    Folder,
    grouped,
    look_into,
    must_hold_rules,
    named,
    place_of,
    read_use,
    usable,
)
from jitid.config.settings import zone
from jitid.errors import ConfigurationError, ExitStatus, NotFoundError, UsageError
from jitid.formats import checklist
from jitid.formats.cell import counted
from jitid.policy.cases import Result, attempt, read_cases, unreached
from jitid.policy.default import default_files, example_files
from jitid.system import output
from jitid.values.text import quote, safe
from jitid.values.times import optional_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jitid.cli.policy import commands
    from jitid.policy.policy_text import PolicyRule
    from jitid.policy.position import CataloguedRule

_SHIPPED = "the policy that jitid ships"


def check(cli: Invocation, args: commands.PolicyCheckCommand) -> None:
    """Perform `jitid policy check`."""
    from jitid.policy.check import check as examine

    folders = grouped(args.paths, CEDAR) if args.paths else [_in_force(cli)]
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
            computed = {"file": place_of(folder, problem.file), "severity": severity}
            problems.append(args.view.row(problem, computed))
        for refusal in folder.refused:
            cli.warn(refusal)
        _note_approvals(cli, checked.rules)
    errors = sum(row["severity"] == "error" for row in problems)
    totals = f"{counted(rules, 'rule')} in {counted(files, 'file')}"
    if cli.field or cli.format_name() is not None:
        folder_paths = [folder.path for folder in folders]
        document = {
            "places": folder_paths,
            "rules": rules,
            "files": files,
            "errors": errors,
            "problems": problems,
        }
        cli.show_records(args.view, problems, document=document)
    else:
        for row in problems:
            rule = "" if row["rule"] is None else f"rule `{row['rule']}`: "
            location = f"{row['file']}:{row['line']}:{row['column']}"
            output.print_message(safe(f"{location}: {row['severity']}: {rule}{row['message']}"))
        if not errors:
            origin = "" if args.paths else f" of the policy in force, {safe(folders[0].path)}"
            output.write(f"{totals}{origin}: {'no error' if problems else 'in order'}\n")
    if errors:
        consequence = "it may refuse and permit the wrong requests"
        if any(_is_unusable(folder) for folder in folders):
            consequence = "no credential is issued under it until they are fixed"
        raise ConfigurationError(f"{counted(errors, 'error')} in the policy: {consequence}")


def _note_approvals(cli: Invocation, rules: Iterable[PolicyRule]) -> None:
    """Print a note about rules with `@approval` if no other person can approve."""
    from jitid.doctor import installation_check

    names = [rule.name for rule in rules if rule.approval is not None]
    if names and installation_check.approvers_are_missing(cli.config()):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        cli.note(
            f"rule `{names[0]}`{more} requires an approval; "
            f"{installation_check.NO_APPROVER}; {installation_check.SERVE_APPROVERS}"
        )


def _is_unusable(folder: Folder) -> bool:
    """Return whether a policy cannot be used at all. An error against the schema alone appears only in a decision."""
    from jitid.policy.evaluate import Policy

    try:
        Policy(folder.files)
    except ConfigurationError:
        return True
    return False


def show(cli: Invocation, args: commands.PolicyShowCommand) -> None:
    """Perform `jitid policy show`."""
    from jitid.policy.position import catalogue

    if args.text and args.rule is not None:
        raise UsageError("--text and RULE exclude each other", "omit one of them")
    if args.default and args.digest is not None:
        raise UsageError("--default and --digest exclude each other", "omit one of them")
    if args.text:
        cli.expect_own_form()
    folder = (
        _shipped() if args.default else _in_force(cli) if args.digest is None else _stored(cli, args.digest)
    )
    must_hold_rules(folder)
    if args.text:
        source_text = "\n".join(f"// {file}\n{body}" for file, body in folder.files)
        output.write(_harmless(source_text) if output.is_terminal() else source_text)
        return
    policy = usable(folder)
    entries = list(catalogue(folder.files))
    if args.rule is not None:
        _show_rule(cli, args, entries)
        return
    rows = [args.view.row(entry, _of_rule(entry)) for entry in entries]
    if cli.by_eye():
        names = ", ".join(file for file, _ in folder.files)
        output.write(safe(f"{folder.path}: {names}") + f"\npolicy {policy.digest}\n\n")
    document = {
        "policy": policy.digest,
        "place": folder.path,
        "files": [file for file, _ in folder.files],
        "rules": rows,
    }
    cli.show_records(args.view, rows, document=document)


def init(cli: Invocation, args: commands.PolicyInitCommand) -> None:
    """Perform `jitid policy init`."""
    from shlex import quote as word

    from jitid.config.policy_files import write_new

    files = example_files(with_default=args.with_default)
    write_new(args.folder, sorted(files))
    path = os.path.abspath(args.folder)
    cli.note(f"wrote {', '.join(sorted(name for name, _ in files))} into {path}")
    cli.note(f"edit it, then check it: jitid policy check {word(path)}")
    cli.note(f"to run its cases: jitid policy test {word(path)}")
    cli.note("to set the time zone of its hours: " + cli.command("jitid config set timezone Europe/Berlin"))
    effect = "to put it in force" + ("" if args.with_default else " instead of the default policy")
    if args.with_default:
        cli.note(
            "the prohibitions of the default policy apply to all agents, also to release-bot: --sensitivity high "
            "requires a proved delegator"
        )
    cli.note(f"{effect}: " + cli.command(f"jitid config set policy {word(path)}"))


def _of_rule(entry: CataloguedRule) -> dict[str, Any]:
    return {"actions": list(entry.rule.facts), "max_ttl": optional_duration(entry.rule.max_ttl)}


def _show_rule(cli: Invocation, args: commands.PolicyShowCommand, entries: list[CataloguedRule]) -> None:
    name = args.rule or ""
    catalogued = next((entry for entry in entries if entry.rule.name == name), None)
    if catalogued is None:
        from jitid.config.settings import nearest

        names = tuple(entry.rule.name for entry in entries)
        raise NotFoundError(f"the policy has no rule {quote(name)}", nearest(name, names))
    # The original text, so that it can be copied; control characters for the terminal are escaped.
    cli.show_record(args.shown_view(), catalogued, _harmless(catalogued.text), _of_rule(catalogued))


def _harmless(text: str) -> str:
    return "".join(f"{safe(line)}\n" for line in text.replace("\t", "  ").splitlines())


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
            f"{counted(mistakes, 'mistake')} in the cases; no case was run", "see: man jitid-policy"
        )
    failed = sum(row["result"] == "failed" for row in rows)
    if cli.by_eye():
        output.write_pieces(checklist.trials_text(rows, left_out, cli.coloured()))
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
            cli.note(f"no case reaches rule `{rule['rule']}` of {rule['file']}")
    if failed or (args.require_coverage and left_out):
        cli.status = ExitStatus.FINDINGS


def _sources(cli: Invocation, paths: Sequence[str], policy: str | None) -> list[tuple[Folder, Folder]]:
    """Return folders with cases, each with the policy that its cases test."""
    tested_folder = None if policy is None else named(policy)
    folders = grouped(paths, CASES) if paths else [tested_folder or _in_force(cli)]
    for folder in folders:
        if not folder.cases and folder.path == _SHIPPED:
            raise NotFoundError(
                "the policy in force is the default one; it has no cases",
                "write your own policy: jitid policy init DIR; or name a folder with cases",
            )
        if not folder.cases:
            raise NotFoundError(
                f"no cases in {quote(folder.path, 200)}",
                f"add a file *{CASES}; for an example: jitid policy init DIR",
            )
    return [(folder, tested_folder or (look_into(folder.path) if paths else folder)) for folder in folders]


def _outcome(result: Result) -> dict[str, Any]:
    return {
        "result": "passed" if result.passed else "failed",
        "lifetime": optional_duration(result.answer.lifetime),
        "expected": {difference.what: difference.expected for difference in result.differences} or None,
    }


def diff(cli: Invocation, args: commands.PolicyDiffCommand) -> None:
    """Perform `jitid policy diff`."""
    from jitid.capabilities.decisions.replay_rows import row_of, summary

    old_policy, new_policy = _compared(cli, args.old), _compared(cli, args.new)
    looks = usable(old_policy).looks.with_(usable(new_policy).looks)
    replay = ReplayDecisions(old=tuple(old_policy.files), new=tuple(new_policy.files), since=args.since)
    replayed = performed(cli, open_authority(cli.config()), replay, "deciding recorded requests again")
    rows = [args.view.row(row_of(change, looks)) for change in replayed.changes[: args.limit]]
    sentences = summary(replayed)
    by_eye = cli.by_eye()
    if rows or not by_eye:
        document = {
            "requests": replayed.requests,
            "credentials": replayed.credentials,
            "denials": replayed.denials,
            "changed": len(replayed.changes),
            "changes": rows,
        }
        cli.show_records(args.view, rows, document=document)
    if by_eye:
        output.write("".join([*(["\n"] if rows else []), *(f"{line}\n" for line in sentences)]))
    else:
        for line in sentences:
            cli.note(line)
    if len(rows) < len(replayed.changes):
        cli.note(f"{len(replayed.changes) - len(rows):,} more rows were omitted by --limit")
    if args.exit_code and replayed.changes:
        cli.status = ExitStatus.FINDINGS


def _in_force(cli: Invocation) -> Folder:
    """Return the policy in force for this line, with the same file checks as for issuing.

    Raises:
        ConfigurationError: there is none.
        IntegrityError: a file of it is a link, or others can write to it.
        StorageError: it cannot be read.

    """
    config = cli.config()
    home = home_path(config)
    policy_path, files = policy_place(config, home), policy_files(config, home)
    if policy_path is None:
        return _shipped()
    return look_into(policy_path)._replace(files=files, use=read_use(policy_path))


def _shipped() -> Folder:
    """Return the default policy, which has no cases."""
    return Folder(_SHIPPED, list(default_files()), None, [], [])


def _stored(cli: Invocation, digest: str) -> Folder:
    """Return an earlier policy from the ledger, by its digest.

    Raises:
        NotFoundError: there is none.
        UsageError: several policies match the digest, or it is invalid.

    """
    files = open_authority(cli.config()).perform(StoredPolicy(digest=digest))
    return Folder(f"the ledger's policy {digest}", list(files), None, [], [])


def _compared(cli: Invocation, word: str) -> Folder:
    """Return the policy that a line names: `current`, `default`, a folder, a file, or a digest in the ledger.

    Raises UsageError and NotFoundError for any other word.
    """
    if word == "current":
        return _in_force(cli)
    if word == "default":
        return _shipped()
    if os.path.lexists(word):
        return named(word)
    if len(word) >= 4 and set(word.lower()) <= set("0123456789abcdef"):
        return _stored(cli, word)
    raise UsageError(
        f"{quote(word, 200)} is not a policy", "name a folder, a file, `current`, `default` or a digest"
    )
