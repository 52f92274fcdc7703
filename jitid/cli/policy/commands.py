"""Verbs declared for `cli/policy`."""

from __future__ import annotations

from jitid.formats.columns import Columns
from jitid.operation.base import READS, Verb, limit_opt
from jitid.values.declaration import arg, args, flag, opt, optional_arg
from jitid.values.field_types import FILE, FOLDER, TEXT, TIME


class PolicyCheckCommand(Verb):
    """Check that policies are in order: their syntax, and by the schema.

    All errors are told, each with file, line and column; of a rule whose syntax is wrong the first. So is much
    that is valid and cannot be meant. The files of a folder are one policy; `use.cedarschema` among them declares
    what is said of a use.
    """

    verb = "policy check"
    function = "policy.policy_verbs:check"
    effect = READS
    view = Columns("jitid.policy-check/1", "file line=place.line column=place.column severity rule message")

    paths: tuple[str, ...] = args(FILE, "[DIR|FILE]...", help="Policies; the one in force unless named.")


class PolicyTestCommand(Verb):
    """Try a policy with cases: what is asked, and what the answer is to be.

    Cases stand in files whose names end in .test.toml, in the folder of the policy that they are about. Exit
    status 10 says that a case is not as expected; which rules no case reaches is told besides.
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
        FILE, "[FILE|DIR]...", help="Cases; those beside the policy in force unless named."
    )
    policy: str | None = opt(
        FILE, "--policy", help="Try this policy (default: the one in the folder of the cases).", metavar="DIR"
    )
    require_coverage: bool = flag("--require-coverage", help="End with 10 if a rule is reached by no case.")


_RULE = "rule=rule.name effect=rule.effect actions max_ttl approval=rule.approval reads file=rule.file line sha256"
_ONE_RULE = Columns("jitid.policy-rule/1", f"{_RULE} text", single=True)


class PolicyShowCommand(Verb):
    """Show a policy: its rules, what each one does and what it looks at, or the text of one.

    It is the policy in force unless --digest names one that decided something once, as `jitid explain` and
    the audit log tell it, or --default the one that jitid ships.
    """

    verb = "policy show"
    function = "policy.policy_verbs:show"
    effect = READS
    view = Columns("jitid.policy/1", _RULE, brief="rule effect actions max_ttl approval file", more="text")

    rule: str | None = optional_arg(TEXT, "[RULE]", help="A rule, whose text is shown.")
    digest: str | None = opt(
        TEXT, "--digest", help="One that decided once: its digest, or how that begins.", metavar="HEX"
    )
    default: bool = flag("--default", help="The one that jitid ships.")
    text: bool = flag("--text", help="The text of its files.")

    def shown_view(self) -> Columns:
        """Return the fields of one rule, or of all."""
        return self.view if self.rule is None else _ONE_RULE


class PolicyInitCommand(Verb):
    """Begin a policy of your own: write an example with its cases into a folder that is new or empty.

    Nothing is in force until the setting `policy` names the folder.
    """

    verb = "policy init"
    function = "policy.policy_verbs:init"
    only_formats = ()

    folder: str = arg(FOLDER, "DIR", help="A folder that is new or empty.")
    with_default: bool = flag("--with-default", help="Put the default policy beside the example.")


class PolicyDiffCommand(Verb):
    """Replay what was decided under two policies, and tell what changes.

    OLD and NEW are a folder, a file, `current`, `default`, or the digest of a policy that decided something.
    Each distinct request that the audit log tells of is decided by both: with the time, the directory and the
    approvals of then. Those with the most credentials come first.
    """

    verb = "policy diff"
    function = "policy.policy_verbs:diff"
    effect = READS
    view = Columns(
        "jitid.policy-diff/1",
        "change count recorded old new old_rules new_rules old_granted new_granted old_lifetime new_lifetime needs "
        "agent delegator proof task purpose sensitivity kind template depth scopes audiences ttl at reason event "
        "task_owner",
        brief="change count new_rules agent delegator scopes event",
    )

    old: str = arg(FILE, "OLD", help="A folder, a file, `current`, `default` or a digest.")
    new: str = arg(FILE, "NEW", help="What is compared with it, named alike.")
    since: int | None = opt(TIME, "--since", help="Only what was decided from TIME on (RFC 3339).")
    limit: int | None = limit_opt()
    exit_code: bool = flag("--exit-code", help="End with 10 if something would change.")
