"""`jitid revoke`: end credentials before their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority import settle_at_targets as confirming
from jitid.authority.open import open_authority
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.inventory.operations import Revoke
from jitid.cli import hints, read_input, record_rows
from jitid.cli.ask import can_prompt, confirm
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.model.ledger_rows import Selection
from jitid.system import output
from jitid.values.ids import parse_id
from jitid.values.text import check_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.cli.identity import commands
    from jitid.model.ledger_rows import Radius
    from jitid.operation.base import Authority

FIELDS = (
    "ended",
    "credentials",
    "identities",
    "matched",
    "tasks",
    "delegators",
    "offline_until",
    "event",
    "dry_run",
    "confirmed",
    "unconfirmed",
    "refused_since",
    "accepted_until",
)


def revoke(cli: Invocation, args: commands.RevokeCommand) -> None:
    """Perform `jitid revoke`."""
    cli.expect(FIELDS)
    read_input.check_one_stdin(args.ids_file, *(args.token_file))
    listed_ids = (
        []
        if args.ids_file is None
        else [text for _, text in read_input.lines(args.ids_file, "the list of ids")]
    )
    all_ids = tuple(dict.fromkeys([*(args.ids), *listed_ids]))
    hints.check_ids(args.ids, token_files=True)
    for text in listed_ids:
        parse_id(text)
    if args.ids_file is not None and not listed_ids:
        raise UsageError(
            "the list of ids is empty; nothing was changed", "an empty selection never means everything"
        )
    selection = Selection(
        ids=all_ids,
        tasks=args.task,
        delegators=args.delegator,
        agents=args.agent,
        trees=tuple(args.tree),
    )
    hints.check_ids(selection.trees, token_files=False)
    operation = Revoke(
        selection=selection,
        tokens=tuple(read_input.token(path, "the token") for path in args.token_file),
        reason=check_reason(args.reason),
        most=None if args.yes else most_of(cli, args.max_),
        dry_run=args.dry_run,
        accept_clock=cli.accept_clock,
    )
    if not any(selection) and not operation.tokens:
        raise UsageError(
            "nothing is selected", "name ids, or select by --task, --delegator, --agent or --tree"
        )
    patience = args.wait
    authority = open_authority(cli.config())
    with hints.advised():
        ended = perform(cli, authority, operation, patience)
    report_ended(cli, ended, dry_run=args.dry_run)


def perform(cli: Invocation, authority: Authority, operation: Revoke, wait: int | None = None) -> Ended:
    """Perform a revocation, also at targets. At a terminal, ask for confirmation of more credentials than the limit.

    Wait at most `wait` seconds for targets that do not confirm at once.
    """
    selection, tokens = operation.selection, operation.tokens
    preview = Revoke(
        selection=selection, tokens=tokens, most=None, dry_run=True, accept_clock=operation.accept_clock
    )
    limit = operation.most
    if not operation.dry_run:
        limit = confirmed(cli, limit, lambda: authority.perform(preview).radius)
    ended = authority.perform(
        Revoke(
            selection=selection,
            tokens=tokens,
            reason=operation.reason,
            most=limit,
            dry_run=operation.dry_run,
            accept_clock=operation.accept_clock,
        )
    )
    return confirming.confirm(authority, ended, wait)


def confirmed(cli: Invocation, limit: int | None, foresee: Callable[[], Radius]) -> int | None:
    """Return the maximum number of credentials to end: at a terminal, the foreseen number if the user types it.

    Raises:
        UsageError: the user typed another text.

    """
    if limit is None or not can_prompt(cli):
        return limit
    radius = foresee()
    count = radius.credentials
    if count <= limit:
        return limit
    confirm(
        f"end {revocation_result.blast(radius)}",
        count,
        f"the number of credentials, {count}, to end them; anything else ends none",
    )
    return count


def most_of(cli: Invocation, max_: int | None) -> int:
    """Return the maximum number of credentials to end without --yes. Raises UsageError for a negative number."""
    if max_ is None:
        return cli.config().number("max")
    if max_ < 0:
        raise UsageError("--max is at least 0")
    return max_


def check_reason(text: str | None) -> str | None:
    """Return the reason. Raises UsageError if it is longer than 1,000 characters, not UTF-8, or contains a token."""
    if text is None:
        return None
    if len(text) > 1_000:
        raise UsageError("the reason is longer than 1,000 characters")
    # The operation checks it too, but other steps may be done by then.
    check_text(text, "the reason")
    return text


def report_ended(cli: Invocation, ended: Ended, *, dry_run: bool) -> None:
    """Show the result of a revocation, as a sentence or in the requested format."""
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.revoke/1", FIELDS, [row(ended, dry_run=dry_run)], one=True))
        if ended.unproved is not None:
            cli.warn(unproved(ended.unproved))
    else:
        output.write(sentence(ended, dry_run=dry_run) + "\n")
    confirming.must_be_confirmed(ended)


def row(ended: Ended, *, dry_run: bool) -> dict[str, Any]:
    """Return the result of a revocation as a row with the fields of `FIELDS`."""
    radius = ended.radius
    return {
        "ended": ended.credentials,
        "credentials": radius.credentials,
        "identities": radius.identities,
        "matched": radius.matched,
        "tasks": radius.tasks,
        "delegators": radius.delegators,
        "offline_until": record_rows.time(radius.offline_until),
        "event": ended.event,
        "dry_run": dry_run,
        "confirmed": ended.confirmed,
        "unconfirmed": ended.unsettled + ended.unsupported,
        "refused_since": record_rows.time(ended.refused_since),
        "accepted_until": record_rows.time(ended.accepted_until),
    }


def sentence(ended: Ended, *, dry_run: bool) -> str:
    """Return the result of a revocation in words."""
    if dry_run:
        return f"would end {revocation_result.blast(ended.radius)}; nothing was changed"
    if ended.credentials:
        blast = revocation_result.blast(ended.radius, ended.accepted_until, ended.settled_at)
        text = f"ended {blast} (audit event {ended.event})"
    elif ended.task is not None and ended.event is not None:
        text = f"ended task {ended.task}, which had nothing live (audit event {ended.event})"
    else:
        facts = revocation_result.facts(ended.radius, ended.accepted_until, ended.settled_at)
        text = f"nothing was live: it had ended already{'; ' if facts else ''}{facts}"
    confirmation = confirming.sentence(ended)
    if confirmation is not None:
        text = f"{text}; {confirmation}"
    return text if ended.unproved is None else f"{text}; {unproved(ended.unproved)}"


def unproved(reason: str) -> str:
    """Return the sentence for a revocation without proof that the ledger refuses the leaked credentials."""
    return f"it is not proved that the ledger refuses what leaked of it: {reason}"
