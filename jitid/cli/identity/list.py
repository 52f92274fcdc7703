"""`jitid list`: list credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import ListCredentials, Page
from jitid.cli import record_rows
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.model.credential import FORMER_PROOF, State, base_kind
from jitid.model.ledger_rows import Filter
from jitid.model.process import Liveness
from jitid.model.task import SENSITIVITIES
from jitid.policy import policy_request
from jitid.system.processes import orphans
from jitid.values.ids import parse_id
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.identity import commands

DEFAULT_LIMIT = 1_000
_ALL = 1 << 31
PROOFS = (*policy_request.PROOFS, FORMER_PROOF)


def list_(cli: Invocation, args: commands.ListCommand) -> None:
    """Perform `jitid list`."""
    # `left` changes every second, so it is shown only in a terminal's table or with --field left.
    cli.expect((*record_rows.CREDENTIAL, "left"))
    if args.kind is not None:
        base_kind(args.kind)
    _one_of(args.process, tuple(liveness.value for liveness in Liveness), "state of a process")
    chosen = Filter(
        task=args.task,
        agent=args.agent,
        delegator=args.delegator,
        kind=args.kind,
        sensitivity=_one_of(args.sensitivity, SENSITIVITIES, "sensitivity"),
        delegator_proof=_one_of(args.proof, PROOFS, "proof"),
        scope=args.scope,
        audience=args.audience,
        purpose=args.purpose,
        state=_one_of(args.state, tuple(member.value for member in State), "state"),
        id=_id(args.id_, "id"),
        parent=_id(args.parent, "parent", "jid"),
        depth=args.depth,
        signed_by=args.signed_by,
        live=args.live or args.process is not None,
        bound=args.process is not None,
        unsettled=args.unsettled,
        issued_since=args.since,
        issued_until=args.until,
        expires_before=args.expires_before,
        expires_after=args.expires_after,
    )
    page = open_authority(cli.config()).perform(
        ListCredentials(
            chosen=chosen,
            sort=(args.sort or "-issued_at").removeprefix("-"),
            descending=(args.sort or "-").startswith("-"),
            after=_id(args.after, "id"),
            # Only this process can check which processes are alive, so it needs all rows.
            limit=limit_of(args.limit) if args.process is None else _ALL,
        )
    )
    _show(cli, page, args.process, args.limit)


def _show(cli: Invocation, page: Page, process: str | None, limit: int | None) -> None:
    """Print a page of credentials; with `process`, only rows with a process in that state."""
    credentials = page.credentials
    if process is not None:
        credentials = [row for row in credentials if record_rows.process_state(row, page.now) == process][
            : limit_of(limit)
        ]
    bound = any(row.process is not None and row.ended_at is None for row in credentials)
    columns = record_rows.columns(
        cli, record_rows.CREDENTIAL, record_rows.BRIEF_BOUND if bound else record_rows.BRIEF
    )
    if cli.field == "left":
        columns = ("left",)
    rows = (record_rows.credential(row, page.now) for row in credentials)
    cli.show(Display("jitid.list/1", columns, ({name: row[name] for name in columns} for row in rows)))
    if cli.field is None:
        record_rows.warn_of_orphans(cli, orphans(credentials, page.now))
    if process is None and limit is None and len(page.credentials) == DEFAULT_LIMIT:
        cli.note(f"there may be more than {DEFAULT_LIMIT}: go on with --after {page.credentials[-1].jti}")


def limit_of(limit: int | None) -> int:
    """Return the maximum number of rows of a page. Raises UsageError for a number below one."""
    if limit is None:
        return DEFAULT_LIMIT
    if limit < 1:
        raise UsageError("--limit is at least 1")
    return min(limit, 1 << 31)


def _id(text: str | None, label: str, kind: str | None = None) -> str | None:
    if text is not None and parse_id(text)[0] != (kind or text[:3]):
        raise UsageError(f"{quote(text)} is no {label}", "an identity's id begins with jid_")
    return text


def _one_of(text: str | None, choices: tuple[str, ...], label: str) -> str | None:
    if text is not None and text not in choices:
        raise UsageError(f"{quote(text)} is no {label}", f"choose one of: {', '.join(choices)}")
    return text
