"""Verbs declared for `cli/policy`."""

from __future__ import annotations

from jitid.formats.columns import Columns
from jitid.operation.base import READS, Verb, limit_opt
from jitid.values.declaration import arg, args, flag, opt, optional_arg
from jitid.values.field_types import FILE, FOLDER, TEXT, TIME


class PolicyCheckCommand(Verb):
    """Check policies: syntax, schema and likely mistakes.

    Reports all errors with file, line and column, and the first one of each rule with a syntax error. Likely mistakes
    in valid rules are warnings. The files of a folder are one policy; its `use.cedarschema` declares the context of
    uses.
    """

    verb = "policy check"
    function = "policy.policy_verbs:check"
    effect = READS
    view = Columns("jitid.policy-check/1", "file line=place.line column=place.column severity rule message")

    paths: tuple[str, ...] = args(FILE, "[DIR|FILE]...", help="Policies (default: the policy in force).")


class PolicyTestCommand(Verb):
    """Test a policy with cases of requests and decisions.

    Cases are files *.test.toml in the folder of the policy. Exit status 10: a case has another result than expected.
    Rules that no case reaches are reported too.
    """

    verb = "policy test"
    function = "policy.policy_verbs:test"
    effect = READS
    view = Columns(
        "jitid.policy-test/1",
        "file=case.file line=case.line case=case.name result decision=answer.decision rules=answer.rules "
        "granted=answer.granted lifetime needs=answer.needs expected reason=answer.reason",
    )

    paths: tuple[str, ...] = args(
        FILE, "[FILE|DIR]...", help="Cases (default: those of the policy in force)."
    )
    policy: str | None = opt(
        FILE, "--policy", help="Policy to test (default: in the folder of the cases).", metavar="DIR"
    )
    require_coverage: bool = flag("--require-coverage", help="Exit 10 if no case reaches a rule.")


_RULE = "rule=rule.name effect=rule.effect actions max_ttl approval=rule.approval reads file=rule.file line sha256"
_ONE_RULE = Columns("jitid.policy-rule/1", f"{_RULE} text", single=True)


class PolicyShowCommand(Verb):
    """Show a policy: its rules, or the text of one rule.

    Shows the policy in force; with --default, the policy that jitid ships; with --digest, an earlier policy, by the
    digest that `jitid inspect --why` and the audit log report.
    """

    verb = "policy show"
    function = "policy.policy_verbs:show"
    effect = READS
    view = Columns("jitid.policy/1", _RULE, brief="rule effect actions max_ttl approval file", more="text")

    rule: str | None = optional_arg(TEXT, "[RULE]", help="Rule to show the text of.")
    digest: str | None = opt(
        TEXT, "--digest", help="Digest of an earlier policy, or its first digits.", metavar="HEX"
    )
    default: bool = flag("--default", help="Policy that jitid ships.")
    text: bool = flag("--text", help="Show the text of the files.")

    def shown_view(self) -> Columns:
        """Return the fields of one rule, or of all."""
        return self.view if self.rule is None else _ONE_RULE


class PolicyInitCommand(Verb):
    """Write an example policy with cases into a new folder.

    The policy is not in force until the setting `policy` names the folder.
    """

    verb = "policy init"
    function = "policy.policy_verbs:init"
    only_formats = ()

    folder: str = arg(FOLDER, "DIR", help="New or empty folder.")
    with_default: bool = flag("--with-default", help="Add the default policy to the example.")


_OUTCOMES = "old new old_rules new_rules old_granted new_granted old_lifetime new_lifetime"
_REQUEST = "agent delegator proof task purpose sensitivity kind template depth scopes audiences ttl"


class PolicyDiffCommand(Verb):
    """Replay recorded decisions under two policies.

    OLD and NEW are a folder, a file, `current`, `default`, or the digest of an earlier policy. Both policies decide
    each distinct request of the audit log, with its time, directory and approvals. Requests with the most credentials
    come first.
    """

    verb = "policy diff"
    function = "policy.policy_verbs:diff"
    effect = READS
    view = Columns(
        "jitid.policy-diff/1",
        f"change count recorded {_OUTCOMES} needs {_REQUEST} at reason event task_owner",
        brief="change count new_rules agent delegator scopes event",
    )

    old: str = arg(FILE, "OLD", help="Folder, file, `current`, `default` or digest.")
    new: str = arg(FILE, "NEW", help="Policy to compare with, named likewise.")
    since: int | None = opt(TIME, "--since", help="Only decisions since TIME, or a duration ago.")
    limit: int | None = limit_opt()
    exit_code: bool = flag("--exit-code", help="Exit 10 if a decision changes.")
