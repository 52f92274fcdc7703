"""The changes that set a client up, or undo that: planned first, and then carried out."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from jitid.capabilities.setup import change_record, client_file, diff, entries
from jitid.capabilities.setup.change_record import ChangeRecord, Undone
from jitid.capabilities.setup.client import ClientFile, ClientSetup, SetupRequest
from jitid.capabilities.setup.client_file import FileContent
from jitid.capabilities.setup.entries import AddedEntry, Entry, Form
from jitid.capabilities.setup.splice import ClientFileError, Splice, difference
from jitid.errors import ConfigurationError
from jitid.values.record import Record


class FileChange(Record):
    """A planned change of one file."""

    client: str
    content: FileContent
    text: str
    exists: bool
    """Whether the file is to exist."""
    new_record: ChangeRecord | None
    """The new record; None to forget the file."""
    folders: list[str]
    """The folders to remove with the file, if they are empty."""
    kept: list[Entry]
    """Entries of jitid that were changed since, and stay."""
    form: Form
    last: ChangeRecord | None
    """The record about the file before this change."""
    others: Sequence[ChangeRecord] = ()
    """New records of other clients about the file: their entries stay."""

    @property
    def changes(self) -> bool:
        """Whether the file changes."""
        return self.text != self.content.text or self.exists != self.content.exists

    @property
    def state(self) -> str:
        """What happens to the file, in a word."""
        if not self.changes:
            return "unchanged"
        if not self.exists:
            return "deleted"
        return "changed" if self.content.exists else "created"

    @property
    def removed(self) -> list[str]:
        """The names of the entries of an earlier setup that this setup removes, and does not replace."""
        if self.last is None:
            return []
        form = entries.form_of(self.form, self.text)
        stated = {_top(added.entry) for added in self.new_record.entries} if self.new_record else set()
        absent = [
            _top(added.entry)
            for added in self.last.entries
            if not self.exists or not entries.present(form, self.text, added.entry)
        ]
        return [name for name in dict.fromkeys(absent) if name not in stated]

    def difference(self) -> list[str]:
        """Return the lines of a diff: jitid's own text in full, and stars for all other values."""
        old, new = self.content.text, self.text
        own_before, own_after = (
            change_record.own_text(old, self.last),
            change_record.own_text(new, self.new_record),
        )
        return diff.unified(
            self.content.path,
            diff.side(entries.form_of(self.form, old), old, own_before) if self.content.exists else None,
            diff.side(entries.form_of(self.form, new), new, own_after) if self.exists else None,
        )


def plan_setup(client: ClientSetup, request: SetupRequest) -> list[FileChange]:
    """Return the changes that set a client up; files without a change are among them.

    Raises ConfigurationError for a file that cannot be changed.
    """
    return [change for file in client.files(request) if (change := _planned(client, file)) is not None]


def _planned(client: ClientSetup, file: ClientFile) -> FileChange | None:
    content = _content(file)
    try:
        last = change_record.load(client.name, content.path, content.text)
        if not file.entries and last is None:
            return None
        if _is_done(client, file, content, last):
            return FileChange(
                client.name, content, content.text, content.exists, last, [], [], file.form, last
            )
        new = _in_form(file, entries.form_of(file.form, content.text))
        base, later = _without_entries(client, file.form, content, last, new)
        folders = [*(last.folders if last is not None else []), *_missing(os.path.dirname(content.path))]
        # The client that is set up comes last: the entries of others are below its own.
        below, others = _with_later(base.text, base.exists, folders, later)
        folders_of_own = [] if others else folders
        existed = bool(others) or (base.exists if last is None else last.existed)
        known = bool(others) or change_record.is_of_another(client.name, content.path, below)
        before, text, steps, added = _put(client.name, file, below, known=known)
        if last is not None and base.exists and not base.exact:
            added = change_record.with_containers(added, last)
            others = change_record.inherited(last, content.text)
    except ClientFileError as error:
        raise client_file.failure(file.path, error) from None
    new_record = ChangeRecord(
        client.name,
        content.path,
        file.form,
        existed,
        folders_of_own,
        change_record.digest(before),
        change_record.digest(text),
        steps,
        added,
    )
    exists = base.exists or bool(added) or bool(others)
    return FileChange(
        client.name,
        content,
        text,
        exists,
        new_record if added else None,
        [] if exists else folders,
        base.kept,
        file.form,
        last,
        others,
    )


def _without_entries(
    client: ClientSetup,
    form: Form,
    content: FileContent,
    last: ChangeRecord | None,
    new: Sequence[Entry] | None = None,
) -> tuple[Undone, list[ChangeRecord]]:
    """Return a file without the entries of a client, and records of other clients whose later entries it lacks, too.

    Without those, the file has the text of the client's own record, and an exact way back.
    """
    text, later = content.text, []
    while last is not None:
        later += change_record.unwritten(client.name, content.path, text)
        if change_record.digest(text) == last.after:
            break
        found = change_record.latest_of_others(client.name, content.path, text)
        if found is None or found[0] in later:
            return change_record.undone(client.name, form, content, last, new), []
        later.append(found[0])
        text = found[1]
    return change_record.undone(client.name, form, content._replace(text=text), last, new), later


def _with_later(
    text: str, exists: bool, folders: list[str], later: Sequence[ChangeRecord]
) -> tuple[str, list[ChangeRecord]]:
    """Return a text with the entries of other clients again, and their new records. Raises ClientFileError."""
    records = []
    for each in reversed(later):
        file = ClientFile(each.path, each.form, [added.entry for added in each.entries])
        _, whole, steps, added = _put(each.client, file, text, known=True)
        records.append(
            each._replace(
                existed=exists,
                folders=[] if exists else [*folders, *each.folders],
                before=change_record.digest(text),
                after=change_record.digest(whole),
                steps=steps,
                entries=added,
            )
        )
        text, exists = whole, True
    return text, records


def _is_done(client: ClientSetup, file: ClientFile, content: FileContent, last: ChangeRecord | None) -> bool:
    form = entries.form_of(file.form, content.text)
    recorded = [added.entry for added in last.entries] if last is not None else []
    plain = [entry._replace(keep=False) for entry in _in_form(file, form)]
    others = change_record.entries_of_others(client.name, content.path, content.text)
    return (
        content.exists
        and all(entry in plain for entry in recorded)
        and all(entry in recorded for entry in plain if entry in others)
        and all(entries.present(form, content.text, entry) for entry in _in_form(file, form))
        and bool(file.entries)
    )


def _in_form(file: ClientFile, form: Form) -> list[Entry]:
    """Return the entries of a file in its form: a kubeconfig may be JSON."""
    if file.form is form:
        return file.entries
    return [
        Entry(("users",), {"name": entry.path[-1], "user": {"exec": entry.value}}, append=True)
        for entry in file.entries
    ]


def _put(
    client: str, file: ClientFile, text: str, *, known: bool
) -> tuple[str, str, list[list[Splice]], list[AddedEntry]]:
    """Return a text, the text with the entries of a file, and the steps between them with the entries.

    An entry of another client in the place of one is removed first. The way back restores it if the text is known: a
    setup left it. Otherwise the first text is without it.

    Raises ClientFileError.
    """
    form = entries.form_of(file.form, text)
    others = change_record.entries_of_others(client, file.path, text)
    texts = change_record.without_places(form, text, _in_form(file, form), others)
    steps = [difference(old, new) for old, new in pairwise(texts)] if known else []
    before, text = text if known else texts[-1], texts[-1]
    all_added = []
    for entry in file.entries:
        put = entries.add(file.form, text, entry)
        text = put.text
        if put.added is not None:
            steps.append(put.splices)
            all_added.append(put.added)
        elif (plain := entry._replace(keep=False)) in others:
            # Both need it: it stays until the other client and this one are undone.
            all_added.append(AddedEntry(plain, depth=len(entry.path)))
    return before, text, steps, all_added


def _missing(folder: str) -> list[str]:
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def plan_undo(client: ClientSetup, request: SetupRequest) -> list[FileChange]:
    """Return the changes that remove the entries of a client, in all files with a record.

    Raises ConfigurationError for a file that cannot be changed.
    """
    changes = []
    for file in _files(client, request):
        content, form = _content(file), file.form
        last = change_record.load(client.name, content.path, content.text)
        if not content.exists:
            changes.append(FileChange(client.name, content, "", False, None, [], [], form, last))
            continue
        try:
            base, later = _without_entries(client, form, content, last)
            folders = last.folders if last is not None and not base.exists else []
            text, others = _with_later(base.text if base.exists else "", base.exists, folders, later)
            if last is not None and base.exists and not base.exact:
                others = change_record.inherited(last, content.text)
        except ClientFileError as error:
            raise client_file.failure(file.path, error) from None
        changes.append(
            FileChange(
                client.name,
                content,
                text,
                base.exists or bool(others),
                None,
                [] if others else folders,
                base.kept,
                form,
                last,
                others,
            )
        )
    return changes


def _content(file: ClientFile) -> FileContent:
    if file.within is not None:
        client_file.check_within(file.path, file.within)
    if file.recorded and os.path.realpath(file.path) != file.path:
        return client_file.missing(file.path)
    return client_file.read(file.path)


def _files(client: ClientSetup, request: SetupRequest) -> list[ClientFile]:
    """Return the files of a client: the usual ones, and those with a record; of a project, that of the project."""
    usual = {os.path.realpath(file.path): file for file in client.files(request)}
    if not request.project:
        for last in change_record.all_of(client.name):
            usual.setdefault(last.path, ClientFile(last.path, last.form, [], recorded=True))
    return list(usual.values())


def check(changes: Iterable[FileChange]) -> None:
    """Raise ConfigurationError for a file that may not be replaced."""
    for change in changes:
        if change.changes:
            client_file.check_writable(change.content)


def carry_out(changes: Sequence[FileChange]) -> None:
    """Make the changes. Raises StorageError and OutputError; earlier files of the list are changed then."""
    for change in changes:
        path = change.content.path
        if change.new_record is not None and change.new_record != change.last:
            # The record comes first: a process that is killed in between leaves the way back.
            change_record.save(change.new_record)
        for other in change.others:
            change_record.save(other)
        if change.changes and change.exists:
            client_file.write(change.content, change.text)
        elif change.changes:
            client_file.delete(change.content)
            client_file.remove_folders(change.folders)
        if change.new_record is None:
            change_record.forget(change.client, path)
        else:
            change_record.confirm(change.client, path)
        for other in change.others:
            change_record.confirm(other.client, path)


class FileState(Record):
    """The entries in force in a file of a client."""

    path: str
    state: str
    """`in-force`, `edited`, `absent` or `unreadable`."""
    configured: frozenset[str]
    """The first names of the entries in force."""
    commands: frozenset[str]
    """The programs that the entries start."""


def states(client: ClientSetup, request: SetupRequest) -> list[FileState]:
    """Return the state of each file of a client."""
    return [_state(client, file) for file in _files(client, request)]


def _state(client: ClientSetup, file: ClientFile) -> FileState:
    path, form = file.path, file.form
    try:
        content = _content(file)
        last = change_record.load(client.name, content.path, content.text)
        form = entries.form_of(form, content.text)
        own = [added.entry for added in entries.own(form, content.text)] if content.exists else []
        recorded = [added.entry for added in last.entries] if last is not None else []
        # The setup of another client may have replaced an entry: then that one is in force for both.
        others = change_record.entries_of_others(client.name, content.path, content.text) if recorded else []
        found = [_present(form, content, entry, others) for entry in recorded]
        live = [entry for entry in found if entry is not None]
    except (ClientFileError, ConfigurationError):
        return FileState(path, "unreadable", frozenset(), frozenset())
    in_force = [*live, *(entry for entry in own if entry not in live)]
    if not in_force:
        state = "edited" if recorded else "absent"
    else:
        state = "edited" if len(live) < len(recorded) else "in-force"
    return FileState(
        path,
        state,
        frozenset(entry.path[0] for entry in in_force),
        frozenset(program for entry in in_force for program in _programs(entry.value)),
    )


def _present(form: Form, content: FileContent, entry: Entry, others: Iterable[Entry]) -> Entry | None:
    """Return an entry, or one of another client in its place, if the file has it. Raises ClientFileError."""
    candidates = (entry, *(each for each in others if (each.path, each.append) == (entry.path, entry.append)))
    return next(
        (each for each in candidates if content.exists and entries.present(form, content.text, each)), None
    )


def _programs(value: Any) -> set[str]:  # noqa: ANN401 - of any form
    """Return the programs of the commands of jitid in a value."""
    if isinstance(value, dict):
        command = value.get("command")
        words = value.get("args")
        if isinstance(command, str) and isinstance(words, list):
            # A word such as the path of a ledger may have the name of the program.
            return {command} if entries.is_jitid([command, *words], "helper", "mcp") else set()
        return {program for inner in value.values() for program in _programs(inner)}
    if isinstance(value, list):
        if value and all(isinstance(word, str) for word in value) and entries.is_jitid(value, "mcp"):
            return {value[0]}
        return {program for inner in value for program in _programs(inner)}
    if not isinstance(value, str):
        return set()
    line = value.partition("=")[2] if _is_assignment(value) else value
    line = line.strip().strip('"').removeprefix("!")
    if not entries.is_jitid_line(line, "helper", "mcp"):
        return set()
    # Assignments of variables may come before the program.
    return {next(word for word in shlex.split(line) if "=" not in word)}


def _is_assignment(line: str) -> bool:
    """Return whether a line begins with a key of git's or AWS's files."""
    return line.strip().startswith(("helper =", "credential_process ="))


def _top(entry: Entry) -> str:
    """Return the name of the setting or the server of an entry, for people."""
    return ".".join(entry.path[:2])


def spelled(entry: Entry) -> str:
    """Return the place of an entry, for people."""
    return ".".join(entry.path) + (f" ({json.dumps(entry.value)})" if entry.append else "")
