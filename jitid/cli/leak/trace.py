"""`jitid trace`: find the credentials of a leaked string, and revoke them."""

from __future__ import annotations

# Modules about the ledger are imported later, while other processes search already.
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitid.capabilities.leak.trace_rows import for_eyes, rows_of, summary
from jitid.cli.hints import OTHER_LEDGER
from jitid.cli.leak.commands import TraceCommand
from jitid.errors import JitidError, NotFoundError, PartialError, UsageError
from jitid.model.access import AccessState
from jitid.redaction.token_format import bare
from jitid.search.find import Finds, Shapes

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.leak.trace_result import Match, Stray, Traced
    from jitid.capabilities.scan.search_stream import StreamSearch
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority


_ID = re.compile(r"j(?:id|ti)_[0-9a-v]{26}|J(?:ID|TI)_[0-9A-V]{26}")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{64}")


def trace(cli: Invocation, args: commands.TraceCommand) -> None:
    """Perform `jitid trace`."""
    max_count: int | None = None
    if args.yes and args.max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes sets no limit: leave one out")
    if args.revoke:
        max_count = cli.most(args.max_, yes=args.yes)
    elif args.reason is not None or args.dry_run or args.max_ is not None or args.yes:
        raise UsageError(
            "--reason, --dry-run, --max and --yes require --revoke", "omit them to look only, or add --revoke"
        )
    authority, traced, search = _traced(cli, args.subject)
    shortcoming = None if search is None else search.shortcoming()
    ended: Ended | None = None
    failure: JitidError | None = None
    if args.revoke:
        try:
            revocable, failure = _sure(traced, yes=args.yes)
            if revocable:
                jtis = [match.credential.jti for match in revocable]
                ended = end(cli, authority, jtis, args.reason, max_count, dry_run=args.dry_run)
        except JitidError as error:
            failure = error
        if ended is not None and not args.dry_run:
            from jitid.cli.progress import Waiting

            with Waiting(cli, lambda: "reading the new state of the credentials"):
                # Another process may have revoked them first.
                traced = _refreshed(authority, traced)
    try:
        from jitid.cli.leak.found_overview import is_summarised

        if is_summarised(cli, len(traced.matches)):
            _summarise(cli, traced, ended, args)
        else:
            _show(cli, traced, ended, revoke=args.revoke, dry_run=args.dry_run)
    finally:
        # Report the revocation even if writing the rows fails.
        _report(cli, traced, ended, revoke=args.revoke and failure is None, dry_run=args.dry_run)
    if failure is not None:
        if shortcoming is not None:
            cli.warn(shortcoming.message)
        raise failure
    if ended is not None:
        from jitid.authority.settle_at_targets import must_be_confirmed

        must_be_confirmed(ended)
    if shortcoming is not None:
        raise shortcoming
    if not traced.matches and not any(stray.access for stray in traced.strays):
        raise nothing(cli, traced.strays, traced.words, None if search is None else search.caveat)


def _traced(cli: Invocation, subject: str | None) -> tuple[Authority, Traced, StreamSearch | None]:
    """Return the matches of the id or fingerprint on the line, or of a text, and the search of that text."""
    finds = Finds()
    name = bare(subject or "")
    if _ID.fullmatch(name):
        from jitid.values.ids import parse_id

        parse_id(name.lower())
        finds.ids[name.lower()] = 1
    elif _FINGERPRINT.fullmatch(name):
        finds.prints[bytes.fromhex(name)] = 1
    else:
        from jitid.authority.open import room
        from jitid.capabilities.scan.search_stream import StreamSearch

        check_subject(cli, subject or "-")
        if subject in (None, "-"):
            from jitid.cli.leak import paste

            paste.accept("the text")
        with StreamSearch(subject or "-", "the text", shapes=lambda: shapes_of(cli)) as search:
            return *_looked_up(cli, search.finds(room(cli.config()))), search
    return *_looked_up(cli, [finds]), None


def check_subject(cli: Invocation, path: str) -> None:
    """Raise UsageError if there is no such file. For a name in the ledger, it names the verbs for that name."""
    from jitid.system.read_input import check_text_file

    try:
        check_text_file(path)
    except UsageError as error:
        from jitid.cli.identity.revoke import command_for, kind_sentence, named_in_ledger

        named = None
        # Several objects may have the name. A part of a secret must not be looked up: the authority may be remote.
        with suppress(UsageError):
            named = named_in_ledger(cli, path)
        if named is not None:
            listing = command_for(cli, named, "list")
            error.message = f"there is no such file, and {kind_sentence(named)}"
            error.hint = f"to list its credentials: {listing}; to revoke them: {command_for(cli, named)}"
        raise


def _looked_up(cli: Invocation, batches: Iterable[Finds]) -> tuple[Authority, Traced]:
    from jitid.authority.open import open_authority
    from jitid.capabilities.leak.operations import Trace
    from jitid.capabilities.leak.trace_result import together
    from jitid.cli import show  # noqa: F401 - needed in the end, and loaded while others search
    from jitid.cli.progress import Working

    authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
    with Working(cli, _SEARCHING) as work:

        def parts() -> Iterator[Traced]:
            for finds in batches:
                work.step = "looking up the found strings"
                yield authority.perform(Trace(finds=finds))
                work.step = _SEARCHING

        return authority, together(parts())


_SEARCHING = "searching the text"


def _sure(traced: Traced, *, yes: bool) -> tuple[list[Match], JitidError | None]:
    """Return the matches that may be revoked, and the error for the others."""
    alive = [match for match in traced.matches if match.endable]
    revocable = [match for match in alive if yes or match.evidence.proof is not None]
    ending_ids = {match.credential.id for match in revocable}
    # The descendants of a proved credential end with it.
    unproved = [
        match.credential.jti
        for match in alive
        if ending_ids.isdisjoint([match.credential.id, *(ancestor.id for ancestor in match.lineage)])
    ]
    if not unproved:
        return revocable, None
    message = f"neither a signature nor a fingerprint proves {some(unproved)}"
    hint = "check the findings; to revoke these too, add --yes"
    if revocable:
        return revocable, PartialError(f"{message}; these were not revoked", hint)
    return revocable, UsageError(f"{message}; nothing was changed", hint)


def end(
    cli: Invocation,
    authority: Authority,
    jtis: Iterable[str],
    reason: str | None,
    max_count: int | None,
    *,
    dry_run: bool,
) -> Ended:
    """Revoke credentials that were found, with all below them. Raises the errors of a revocation."""
    from jitid.capabilities.inventory.operations import Revoke
    from jitid.cli.identity.revoke import perform
    from jitid.model.ledger_rows import Selection

    operation = Revoke(
        selection=Selection(ids=tuple(jtis)),
        reason=reason,
        most=max_count,
        dry_run=dry_run,
        accept_clock=cli.accept_clock,
    )
    return perform(cli, authority, operation)


def _refreshed(authority: Authority, traced: Traced) -> Traced:
    from jitid.capabilities.leak.operations import Trace

    finds = Finds()
    finds.ids.update({match.credential.jti: 1 for match in traced.matches})
    refreshed = {match.credential.key: match for match in authority.perform(Trace(finds=finds)).matches}
    return traced._replace(
        matches=[
            refreshed[match.credential.key]._replace(evidence=match.evidence, marks=match.marks)
            for match in traced.matches
        ]
    )


def _summarise(cli: Invocation, traced: Traced, ended: Ended | None, args: commands.TraceCommand) -> None:
    from jitid.capabilities.leak.overview import Overview
    from jitid.cli.leak.found_overview import revoking_line, show_overview
    from jitid.system import output

    overview = Overview()
    for match in traced.matches:
        overview.add(match.credential, valid=match.reason is None)
    endable = any(match.endable for match in traced.matches)
    show_overview(
        cli, overview, revoking_line(cli, args, ended if args.dry_run else None) if endable else None
    )
    strays = [stray for stray in traced.strays if stray.known]
    if strays:
        output.write("\n")
        _show(cli, traced._replace(matches=[], strays=strays), None, revoke=False, dry_run=args.dry_run)


def _show(cli: Invocation, traced: Traced, ended: Ended | None, *, revoke: bool, dry_run: bool) -> None:
    from jitid.formats.display import Display
    from jitid.system import output

    view = TraceCommand.view
    rows = [
        {**trace_row, "revoke": trace_row["revoke"] and cli.command(trace_row["revoke"])}
        for trace_row in rows_of(traced, view)
    ]
    if not cli.by_eye():
        document: dict[str, Any] | None = None
        if revoke and cli.format_name() == "json":
            from jitid.cli.identity.revoke import row

            document = {
                "items": list(rows),
                "ended": None if ended is None else row(ended, dry_run=dry_run),
            }
        cli.show(Display(view.schema, view.fields, rows, document=document))
        return
    for index, trace_row in enumerate(rows):
        if index:
            output.write("\n")
        filled = for_eyes(trace_row)
        cli.show(Display(view.schema, tuple(filled), [filled], one=True))


def _report(cli: Invocation, traced: Traced, ended: Ended | None, *, revoke: bool, dry_run: bool) -> None:
    from jitid.system import output

    warn_of_thieves(cli, traced.strays)
    forged = [match.credential.jti for match in traced.matches if match.evidence.match == "forged-jwt"]
    if forged:
        cli.note(f"no key of this ledger signed the token of {some(forged)}: the token was changed or forged")
    if traced.matches or traced.strays or traced.words:
        cli.note(summary(traced, revoked=ended is not None and not dry_run))
    if ended is not None:
        from jitid.cli.identity.revoke import sentence

        output.print_message(f"jitid: {sentence(ended, dry_run=dry_run)}")
    elif revoke and traced.matches:
        output.print_message("jitid: nothing was revoked: all found credentials had ended already")


_NAMED = 5
"""Maximum number of names in a sentence."""


def some(names: list[str]) -> str:
    """Return the first names for a sentence, and the number of further names."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def warn_of_thieves(cli: Invocation, strays: Collection[Stray]) -> None:
    """Warn of stolen signing keys and access tokens.

    A key is stolen if it was found, or if it signed a found token that the ledger never issued.
    """
    for stray in strays:
        if stray.access is not None and stray.state == AccessState.ACTIVE:
            remedy = cli.command(f"jitid access revoke {stray.access}")
            cli.warn(
                f"the found access token authenticates as {stray.whose} at the authority; to revoke it: {remedy}"
            )
    found_kids = {stray.signed_by for stray in strays if stray.match == "private-key"}
    for kid in dict.fromkeys(stray.signed_by for stray in strays if stray.signed_by is not None):
        remedy = cli.command(f"jitid keys revoke {kid}")
        signs = "can sign" if kid in found_kids else "signs"
        cli.warn(
            f"another party has the ledger's key {kid}, and {signs} with it; to revoke the key: {remedy}"
        )


def nothing(cli: Invocation, strays: list[Stray], words: list[Stray], caveat: str | None) -> NotFoundError:
    """Return the error for a text without any string that this ledger issued."""
    leaked = next((stray for stray in strays if stray.signed_by is not None), None)
    if leaked is not None:
        return NotFoundError(
            "not a credential: the private half of a key with which the ledger signs"
            if leaked.match == "private-key"
            else "the ledger did not issue the found token, but a key of the ledger signed it",
            f"revoke the key with all that it signed: {cli.command(f'jitid keys revoke {leaked.signed_by}')}",
        )
    hint = "a signed token is found by any part of the beginning of its payload, an opaque token only whole"
    if strays and all(stray.mistyped for stray in strays):
        return NotFoundError("the found token is cut or mistyped", hint)
    if any(stray.match == "private-key" for stray in strays):
        return NotFoundError(
            "not a credential: the private half of a revoked signing key of the ledger",
            "no action is needed: the key was revoked with all that it had signed",
        )
    if strays or words:
        return NotFoundError("the ledger does not know the found strings", OTHER_LEDGER)
    return NotFoundError(
        "no jitid secret was found: no token or part of a token, no id, no fingerprint, no private key",
        caveat or hint,
    )


def shapes_of(cli: Invocation) -> Shapes | None:
    """Return the forms of the ledger's adopted secrets; None without a ledger.

    Each searching process needs them: the ledger is opened before the processes start, and closed again.
    """
    from jitid.authority.open import open_if_there

    authority = open_if_there(cli.config(), accept_clock=cli.accept_clock)
    if authority is None:
        return None
    from jitid.capabilities.adopt.shape_operations import AdoptedShapes

    try:
        return authority.perform(AdoptedShapes())
    finally:
        authority.close()
