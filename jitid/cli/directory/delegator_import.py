"""`jitid delegator import`: make the directory match a list of delegators."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from jitid.authority.open import open_for_preview, open_or_create_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.directory import roster_diff
from jitid.capabilities.directory.operations import ImportDelegators
from jitid.capabilities.directory.roster_diff import RosterSource
from jitid.cli.directory import delegator_verbs
from jitid.cli.identity.revoke import unproved
from jitid.cli.input_lines import can_prompt, confirm
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.system import output
from jitid.system.read_input import file_of, opened, unreadable
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.directory.roster.roster_entry import Roster
    from jitid.capabilities.directory.roster_diff import Reconciled
    from jitid.cli.directory import commands
    from jitid.operation.base import Authority


FORMS = ("csv", "scim", "jsonl")
MOST = 1 << 30
"""Largest size of the file, in bytes."""
LONGEST = 1 << 20
"""Longest line, in bytes."""

_ENDINGS = {".csv": "csv", ".json": "scim", ".scim": "scim", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_LABEL = "the list"


def form_of(path: str, stated_form: str | None) -> str:
    """Return the form of a list: the stated form, or the form of the file's extension. Raises UsageError."""
    if stated_form is not None:
        return stated_form
    form = _ENDINGS.get(os.path.splitext(path)[1].lower())
    if form is None:
        raise UsageError("nothing says which form the list has", f"say it with --as: {', '.join(FORMS)}")
    return form


def read(path: str, form: str) -> tuple[Roster, RosterSource]:
    """Return the content of a list, and its source. The path `-` is standard input.

    Raises:
        UsageError: the file cannot be read, or an entry is invalid; the message names its place.

    """
    descriptor = opened(path, _LABEL)
    try:
        with file_of(descriptor) as file:
            content = Content(file)
            roster = _roster(content, form)
            return roster, RosterSource(form, content.digest())
    except OSError as error:
        raise unreadable(path, _LABEL, error) from error


def _roster(content: Content, form: str) -> Roster:
    match form:
        case "csv":
            from jitid.capabilities.directory.roster import spreadsheet

            return spreadsheet.read(text for _, text in content.lines(mark=True))
        case "jsonl":
            from jitid.capabilities.directory.roster import json_lines

            return json_lines.read(
                (line_number, text) for line_number, text in content.lines() if text.strip()
            )
        case _:
            from jitid.capabilities.directory.roster import scim

            return scim.read(content.text())


class Content:
    """Reader of a file that computes the digest of all that it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = sha256()
        self._size = 0

    def digest(self) -> str:
        """Return the SHA-256 of the bytes read so far, as hex."""
        return self._hash.hexdigest()

    def lines(self, *, mark: bool = False) -> Iterator[tuple[int, str]]:
        """Yield each line with its number and its end. With `mark`, skip a byte order mark before the first line."""
        line_number = 0
        while line := self._file.readline(LONGEST + 1):
            line_number += 1
            self._count(line)
            if len(line) > LONGEST:
                raise UsageError(f"line {line_number} is longer than {LONGEST} bytes; nothing was changed")
            if mark and line_number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            try:
                yield line_number, line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UsageError(f"line {line_number}: it is not UTF-8; nothing was changed") from error

    def text(self) -> str:
        """Return the whole file as text."""
        pieces = []
        while piece := self._file.read(1 << 20):
            self._count(piece)
            pieces.append(piece)
        try:
            return b"".join(pieces).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError("the list is not UTF-8; nothing was changed") from error

    def _count(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._size += len(piece)
        if self._size > MOST:
            raise UsageError(
                f"the list is longer than {MOST} bytes; nothing was changed", "import it in parts"
            )


_EACH = 10
"""Maximum number of delegators whose differences a dry run prints as sentences."""
_SENTENCE_VERBS = {
    "added": ("add", "added"),
    "changed": ("change", "changed"),
    "enabled": ("enable", "enabled"),
    "disabled": ("disable", "disabled"),
    "missing": ("disable as missing", "disabled as missing"),
}


def import_(cli: Invocation, args: commands.DelegatorImportCommand) -> None:
    """Perform `jitid delegator import`."""
    form = form_of(args.file, args.as_)
    limit = cli.most(args.max_, yes=args.yes)
    roster, source = read(args.file, form)
    for note in roster.notes:
        cli.note(note)
    operation = ImportDelegators(
        roster=roster,
        source=source,
        full=args.full,
        reason=args.reason,
        most=limit,
        dry_run=args.dry_run,
        accept_clock=cli.accept_clock,
    )
    config = cli.config()
    authority = open_for_preview(config) if args.dry_run else open_or_create_authority(config, cli.note)
    reconciled = _perform(cli, authority, operation)
    if not args.dry_run:
        settle_event(authority, reconciled.event, cli.warn)
    _report(cli, args, reconciled)


def _perform(cli: Invocation, authority: Authority, operation: ImportDelegators) -> Reconciled:
    """Import a list. At a terminal, ask for confirmation of losses above the limit."""
    if operation.most is None or operation.dry_run or not can_prompt(cli):
        return authority.perform(operation)
    foreseen = authority.perform(operation.replace(reason=None, most=None, dry_run=True))
    smallest_limit = roster_diff.needed(foreseen)
    if smallest_limit <= operation.most:
        return authority.perform(operation)
    _report_names(foreseen)
    confirm(
        f"disable {roster_diff.losses(foreseen)}",
        smallest_limit,
        f"the number {smallest_limit} to import the list; anything else changes nothing",
    )
    return authority.perform(operation.replace(most=smallest_limit))


def _report(cli: Invocation, args: commands.DelegatorImportCommand, reconciled: Reconciled) -> None:
    dry_run = args.dry_run
    if cli.field is not None or cli.format_name() is not None:
        delegator_verbs.show_row(
            cli,
            args.view,
            reconciled,
            ended=0 if reconciled.event is None else reconciled.departure.radius.credentials,
            names={name: getattr(reconciled, name).first for name in roster_diff.CHANGED_GROUPS},
            changes=[change._asdict() for change in reconciled.changes],
            dry_run=dry_run,
        )
        if reconciled.unproved is not None:
            cli.warn(unproved(reconciled.unproved))
    else:
        output.write(_sentence(reconciled, dry_run=dry_run) + "\n")
        if dry_run:
            _report_names(reconciled)
        else:
            # The author of the list may not have intended these changes.
            _report_categories(reconciled, ("disabled", "missing"))
    staying = reconciled.staying
    if staying.number:
        predicate = "is disabled, and stays" if staying.number == 1 else "are disabled, and stay"
        cli.note(
            f"{staying.number} in the list {predicate} so: {delegator_verbs.first_of(staying.first, staying.number)}"
        )
    if reconciled.unresolved:
        managers = "manager is" if reconciled.unresolved == 1 else "managers are"
        cli.note(f"{reconciled.unresolved} {managers} not known by the id that stands for them: left out")
    strangers = reconciled.strangers
    if strangers.number:
        managers = "1 manager is" if strangers.number == 1 else f"{strangers.number} managers are"
        names = delegator_verbs.first_of(strangers.first, strangers.number)
        cli.note(f"{managers} neither in the directory nor in the list: {names}")


def _sentence(reconciled: Reconciled, *, dry_run: bool) -> str:
    people = number_of(reconciled.people, "delegator")
    if not reconciled.anything:
        return f"nothing to change: the directory says already what the list of {people} says"
    parts = [
        f"{_SENTENCE_VERBS[name][not dry_run]} {getattr(reconciled, name).number}"
        for name in roster_diff.CHANGED_GROUPS
        if getattr(reconciled, name).number
    ]
    parts = [", ".join(parts), *delegator_verbs.departed(reconciled.departure, would=dry_run)]
    if dry_run:
        return "; ".join([*(f"would {part}" for part in parts), "nothing was changed"])
    text = f"of {people} " + "; ".join(parts) + f" (audit event {reconciled.event})"
    return text if reconciled.unproved is None else f"{text}; {unproved(reconciled.unproved)}"


def _report_names(reconciled: Reconciled) -> None:
    _report_categories(reconciled, roster_diff.CHANGED_GROUPS)
    for change in reconciled.changes[:_EACH]:
        output.print_message(f"jitid: {change.name}: {delegator_verbs.different(change)}")
    if len(reconciled.changes) > _EACH:
        output.print_message("jitid: what is different of the others is told with --format json")


def _report_categories(reconciled: Reconciled, categories: Iterable[str]) -> None:
    for category in categories:
        affected = getattr(reconciled, category)
        if affected.number:
            output.print_message(
                f"jitid: {category}: {delegator_verbs.first_of(affected.first, affected.number)}"
            )
