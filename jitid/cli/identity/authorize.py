"""`jitid authorize`: decide on an action, for enforcement points and scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.use.authorization import (
    EMPTY,
    UseRequest,
    check_action,
    check_context,
    check_resource,
)
from jitid.capabilities.use.operations import Authorize
from jitid.cli import read_input, record_rows
from jitid.cli.identity.verdict_rows import row_of
from jitid.cli.invocation import Invocation
from jitid.errors import ExitStatus, UsageError
from jitid.formats.display import Display
from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.cli.identity import commands

_LONGEST_CONTEXT = 1 << 16
"""Maximum number of bytes of a context; its canonical form may be shorter."""


def authorize(cli: Invocation, args: commands.AuthorizeCommand) -> None:
    """Perform `jitid authorize`."""
    audiences = args.audience
    if args.batch:
        from jitid.cli.identity import authorize_batch

        if any(value is not None for value in (args.token_file, args.action, args.resource, args.context)):
            raise UsageError(
                "with --batch each line says what is asked", "of the other options --audience alone counts"
            )
        authorize_batch.batch(cli, audiences)
        return
    if args.action is None or args.resource is None:
        missing = "--action" if args.action is None else "--resource"
        raise UsageError(f"`{missing}` is missing", "say what is to be done, and to what")
    path = args.token_file or "-"
    context_text = EMPTY if args.context is None else _context(args.context, path)
    request = UseRequest(
        read_input.token(path, "the token"),
        check_action(args.action),
        check_resource(args.resource),
        context_text,
    )
    decided = open_authority(cli.config()).perform(
        Authorize(asked=(request,), audiences=audiences, accept_clock=cli.accept_clock)
    )
    (verdict,) = decided.verdicts
    row = row_of(request, verdict, record_rows.time(decided.at), decided.event)
    columns = tuple(name for name in row if row[name] not in (None, ())) if cli.by_eye() else tuple(row)
    cli.show(Display(args.view.schema, columns, [row], one=True))
    if not verdict.allowed:
        cli.status = ExitStatus.DENIED if verdict.valid else ExitStatus.INVALID


def _context(text: str, token_file: str) -> str:
    if text.startswith("@"):
        read_input.check_one_stdin(token_file, text[1:])
        data = read_input.read(text[1:], _LONGEST_CONTEXT, "the context")
    else:
        data = text.encode()
    if len(data) > _LONGEST_CONTEXT:
        raise UsageError(f"the context is longer than {_LONGEST_CONTEXT} bytes")
    try:
        return check_context(strict_json.loads(data, "the context"))
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error), 'write a JSON object, such as {"ip": "192.0.2.1"}, or @FILE') from error
