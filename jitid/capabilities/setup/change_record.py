"""Records of changes of clients' files, for the way back: without the files' own content.

A record has the digests of the file before and after, the text that jitid inserted, and the text that it replaced,
which jitid refuses to replace if it looks like a secret.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

from jitid.capabilities.setup import client_file, entries
from jitid.capabilities.setup.client_file import FileContent
from jitid.capabilities.setup.entries import AddedEntry, Entry, Form
from jitid.capabilities.setup.foreign_text import OwnText, inserted_values
from jitid.capabilities.setup.splice import Splice, applied, reversed_splices
from jitid.errors import ConfigurationError
from jitid.system import xdg
from jitid.system.files import write_private
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote

_SCHEMA = "jitid.setup-state/1"
_MAX_BYTES = 1 << 22


class ChangeRecord(Record):
    """The last change of a file for a client."""

    client: str
    path: str
    form: Form
    existed: bool
    folders: list[str]
    """The folders that were made for the file, the innermost first."""
    before: str
    after: str
    """Digests of the whole text."""
    steps: list[list[Splice]]
    """The changes in order, each at the offsets of the text before it."""
    entries: list[AddedEntry]


class Undone(Record):
    """A text without the entries of jitid."""

    text: str
    exists: bool
    """Whether the file is to exist."""
    exact: bool
    """Whether it is the text of before, byte for byte."""
    kept: list[Entry]
    """The entries that were changed since, and stay."""


def digest(text: str) -> str:
    """Return the digest of a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder of the records."""
    return f"{xdg.state_folder(environ)}/setup"


def path_of(client: str, path: str) -> str:
    """Return the path of the record about a file of a client."""
    return f"{folder()}/{client}-{_digest_of(path)}.json"


def _digest_of(path: str) -> str:
    return sha256(os.fsencode(path)).hexdigest()[:16]


def load(client: str, path: str, text: str) -> ChangeRecord | None:
    """Return the record about a file with a text; None if there is none. Raises ConfigurationError for a damaged one.

    A process that was killed between the record and the change has left the earlier record, too.
    """
    record_path = path_of(client, path)
    current, earlier = _read(record_path, path), _read(f"{record_path}.old", path)
    if earlier is not None and (current is None or digest(text) == earlier.after):
        return earlier
    return current


def _read(record_path: str, path: str | None) -> ChangeRecord | None:
    try:
        with open(record_path, "rb") as file:
            document = strict_json.loads(file.read(_MAX_BYTES))
        if document["schema"] != _SCHEMA or path not in (None, document["path"]):
            raise ValueError
        return _record(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(
            f"the record {quote(record_path, 200)} cannot be read; nothing was changed",
            "delete it: jitid then finds its entries by their commands",
        ) from error


def _record(document: Mapping[str, Any]) -> ChangeRecord:
    return ChangeRecord(
        document["client"],
        document["path"],
        Form(document["form"]),
        bool(document["existed"]),
        [str(each) for each in document["folders"]],
        document["before"],
        document["after"],
        [
            [Splice(int(at), str(removed), str(new)) for at, removed, new in step]
            for step in document["steps"]
        ],
        [
            AddedEntry(
                Entry(tuple(each["path"]), each["value"], bool(each["append"])),
                each["previous"],
                int(each["depth"]),
            )
            for each in document["entries"]
        ],
    )


def save(record: ChangeRecord) -> None:
    """Write a record before the change of its file; the record of the present text stays until `confirm`.

    Raises OutputError, and the errors of `load`.
    """
    present = load(record.client, record.path, client_file.read(record.path).text)
    record_path = path_of(record.client, record.path)
    if present is not None:
        _write(present, f"{record_path}.old")
    _write(record, record_path)


def _write(record: ChangeRecord, record_path: str) -> None:
    document = {
        "schema": _SCHEMA,
        **record._asdict(),
        "form": record.form.value,
        "steps": [[[*splice] for splice in step] for step in record.steps],
        "entries": [
            {
                "path": added.entry.path,
                "value": added.entry.value,
                "append": added.entry.append,
                "previous": added.previous,
                "depth": added.depth,
            }
            for added in record.entries
        ],
    }
    write_private(record_path, json.dumps(document, indent=1).encode())


def forget(client: str, path: str) -> None:
    """Delete the record about a file, if there is one."""
    confirm(client, path)
    with suppress(FileNotFoundError):
        os.unlink(path_of(client, path))


def confirm(client: str, path: str) -> None:
    """Delete the earlier record: it never remains alone."""
    with suppress(FileNotFoundError):
        os.unlink(f"{path_of(client, path)}.old")


def undone(
    client: str,
    form: Form,
    content: FileContent,
    record: ChangeRecord | None,
    new: Sequence[Entry] | None = None,
) -> Undone:
    """Return a file without the entries of jitid for a client.

    If the file is unchanged since, that is its text of before. Otherwise each entry is removed that is unchanged, or
    that still calls jitid; without a record, each that calls jitid, or only those in the place of a new one. The
    entries in the records of other clients stay.

    Raises ClientFileError.
    """
    text = content.text
    if not content.exists:
        return Undone("", exists=False, exact=False, kept=[])
    if record is not None:
        if digest(text) == record.before:
            # A killed process recorded the change, and did not make it.
            return Undone(text, content.exists and (record.existed or bool(text)), exact=True, kept=[])
        exact = _reversed(text, record)
        if exact is not None:
            return Undone(exact, record.existed, exact=True, kept=[])
    kept: list[Entry] = []
    others = entries_of_others(client, content.path, text)
    for added in reversed(record.entries if record is not None else []):
        if added.entry in others:
            # Another client needs it, too.
            continue
        shorter = entries.remove(entries.form_of(form, text), text, added)
        if shorter is None:
            kept.append(added.entry)
        else:
            text = shorter
    for added in _own(form, text):
        # A changed entry still belongs to jitid if it calls jitid in the same place.
        record_path = next((entry for entry in kept if _place(entry) == _place(added.entry)), None)
        if added.entry in others:
            # Another client has an entry of this name.
            kept = [entry for entry in kept if entry is not record_path]
            continue
        if record is not None and record_path is None:
            continue
        if (
            record is None
            and new is not None
            and not any(_place(entry) == _place(added.entry) for entry in new)
        ):
            continue
        shorter = entries.remove(entries.form_of(form, text), text, added)
        if shorter is not None:
            text = shorter
            kept = [entry for entry in kept if entry is not record_path]
    exists = content.exists and not (
        record is not None and not record.existed and entries.is_empty(entries.form_of(form, text), text)
    )
    kept = [entry for entry in kept if entries.is_occupied(entries.form_of(form, text), text, entry)]
    return Undone(text, exists, exact=False, kept=kept)


def without_places(form: Form, text: str, new: Sequence[Entry], others: Sequence[Entry]) -> list[str]:
    """Return a text, and then that text without each entry of other clients in the place of a new one.

    Raises ClientFileError.
    """
    texts = [text]
    for added in _own(form, text):
        if (
            added.entry in others
            and added.entry not in new
            and any(_place(added.entry) == _place(each) for each in new)
        ):
            # The new entry comes into the same containers.
            kept = added._replace(depth=len(added.entry.path) - 1)
            shorter = entries.remove(entries.form_of(form, texts[-1]), texts[-1], kept)
            texts += [] if shorter is None else [shorter]
    return texts


def entries_of_others(client: str, path: str, text: str) -> list[Entry]:
    """Return the entries of other clients in the records about a file."""
    return [added.entry for record in _of_others(client, path, text) for added in record.entries]


def _of_others(client: str, path: str, text: str) -> list[ChangeRecord]:
    """Return the records of other clients about a file with a text."""
    names = {record.client for record in about(path)} - {client}
    return [record for name in sorted(names) if (record := load(name, path, text)) is not None]


def inherited(last: ChangeRecord, text: str) -> list[ChangeRecord]:
    """Return the records of other clients that change because a client is undone whose setup came before theirs.

    Their own undo then removes the file, its folders and its containers, which that setup has made. So it does with an
    entry of both, which the text before their own setup had already: that text does not count any more.
    """
    changed = []
    lost = [added.entry for added in last.entries]
    for record in _of_others(last.client, last.path, text):
        shares = any(added.entry in lost for added in record.entries)
        heir = record._replace(
            before="" if shares else record.before,
            after="" if shares else record.after,
            existed=record.existed and last.existed,
            folders=[*last.folders, *(each for each in record.folders if each not in last.folders)],
            entries=with_containers(record.entries, last),
        )
        changed += [heir] if heir != record else []
    return changed


def with_containers(added: Sequence[AddedEntry], last: ChangeRecord) -> list[AddedEntry]:
    """Return entries that own the containers of their paths, and the old values, of an earlier setup."""
    replaced = {other.entry.path: other.previous for other in last.entries}
    return [
        each._replace(
            previous=replaced.get(each.entry.path) if each.previous is None else each.previous,
            depth=min(
                [each.depth]
                + [
                    other.depth
                    for other in last.entries
                    if other.entry.path[: other.depth + 1] == each.entry.path[: other.depth + 1]
                ]
            ),
        )
        for each in added
    ]


def _place(entry: Entry) -> tuple[tuple[str, ...], bool]:
    return entry.path, entry.append


def _own(form: Form, text: str) -> Sequence[AddedEntry]:
    return entries.own(entries.form_of(form, text), text)


def _reversed(text: str, record: ChangeRecord) -> str | None:
    """Return the text of before; None if jitid did not write this text."""
    if digest(text) != record.after:
        return None
    try:
        for step in reversed(record.steps):
            text = applied(text, reversed_splices(step))
    except ValueError:
        return None
    return text if digest(text) == record.before else None


def is_of_another(client: str, path: str, text: str) -> bool:
    """Return whether a file has the text that the setup of another client left."""
    return any(record.after == digest(text) for record in _of_others(client, path, text))


def latest_of_others(client: str, path: str, text: str) -> tuple[ChangeRecord, str] | None:
    """Return the record of another client that wrote this text of a file, and the text before; None if none did."""
    for record in about(path):
        before = _reversed(text, record) if record.client != client else None
        if before is not None and before != text:
            return record, before
    return None


def unwritten(client: str, path: str, text: str) -> list[ChangeRecord]:
    """Return the records of other clients that found all their entries in this text of a file."""
    return [
        record for record in _of_others(client, path, text) if record.before == record.after == digest(text)
    ]


def own_text(text: str, record: ChangeRecord | None) -> OwnText:
    """Return the characters of a text that jitid inserted; of a text that has changed, the values that stayed."""
    if record is None:
        return OwnText(len(text))
    before = _reversed(text, record)
    if before is None:
        form = entries.form_of(record.form, text)
        return OwnText(len(text), values=inserted_values(form, record.steps))
    return OwnText(len(before), record.steps)


def all_of(client: str) -> list[ChangeRecord]:
    """Return all records about files of a client. Raises ConfigurationError for a damaged one."""
    return [*_all(re.compile(rf"{re.escape(client)}-[0-9a-f]{{16}}\.json"), None)]


def about(path: str) -> list[ChangeRecord]:
    """Return the records of all clients about a file. Raises ConfigurationError for a damaged one."""
    return [*_all(re.compile(rf"[a-z-]+-{_digest_of(path)}\.json(?:\.old)?"), path)]


def _all(names: re.Pattern[str], path: str | None) -> Iterator[ChangeRecord]:
    try:
        found = sorted(os.listdir(folder()))
    except OSError:
        return
    for name in found:
        if names.fullmatch(name):
            last = _read(f"{folder()}/{name}", path)
            if last is not None:
                yield last
