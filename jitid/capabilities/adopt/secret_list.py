"""The stated facts about standing secrets: from a command line, or many of them from CSV or JSON lines."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jitid.capabilities.adopt import read_secret
from jitid.capabilities.adopt.read_secret import KeptSecret
from jitid.capabilities.directory.roster.roster_entry import at, misplaced
from jitid.capabilities.directory.roster.roster_file import Content
from jitid.errors import UsageError
from jitid.model.adopted import MOST_SECRETS, StandingSecret
from jitid.redaction.token_format import bare
from jitid.system.read_input import file_of, opened, unreadable
from jitid.values import strict_json
from jitid.values.declaration import Field
from jitid.values.text import quote

_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
STATED = (
    "name",
    "owner",
    "place",
    "purpose",
    "agent",
    "sensitivity",
    "expires",
    "target",
    "reference",
    "prefix",
    "access_key_id",
)
_SECRETS = ("secret", "fingerprint", "public_key")
"""Columns that identify the secret; a row has exactly one of them."""
COLUMNS = (*STATED, *_SECRETS)
_LONGEST = 500_000
_LABEL = "the list of secrets"


def read(
    path: str, stated_form: str | None, fields: Mapping[str, Field], defaults: Mapping[str, Any]
) -> tuple[tuple[StandingSecret, ...], str]:
    """Return the secrets of a file, and its SHA-256 as hex.

    `fields` has the types of the columns, and `defaults` the values of empty cells.

    Raises:
        UsageError: the file cannot be read, or a line is invalid; the message names the line and repeats no secret.

    """
    form = stated_form or _ENDINGS.get(os.path.splitext(path)[1].lower())
    if form is None:
        raise UsageError("nothing says which form the list has", "say it with --as: csv, jsonl")
    descriptor = opened(path, _LABEL)
    try:
        with file_of(descriptor) as file:
            content = Content(file)
            lines = content.lines(mark=True)
            rows = _csv(text for _, text in lines) if form == "csv" else _jsonl(lines)
            secrets = tuple(
                _standing_secret(line_number, row, fields, defaults) for line_number, row in _few(rows)
            )
            # The digest covers the text after the last row too.
            return secrets, content.digest()
    except OSError as error:
        raise unreadable(path, _LABEL, error) from error


def _few(rows: Iterable[tuple[int, dict[str, str]]]) -> Iterator[tuple[int, dict[str, str]]]:
    for count, row in enumerate(rows):
        if count == MOST_SECRETS:
            raise UsageError(
                f"the list names more than {MOST_SECRETS:,} secrets; nothing was changed",
                "adopt them in parts",
            )
        yield row


def _csv(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of CSV (RFC 4180), each with the number of its last line. The first row names the columns."""
    reader = csv.reader(lines, strict=True)
    limit = csv.field_size_limit(_LONGEST)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        _check_columns(header, 1)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise misplaced(
                    f"line {reader.line_num}", f"it has {len(cells)} cells, and the header has {len(header)}"
                )
            yield (
                reader.line_num,
                {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()},
            )
    except csv.Error as error:
        raise misplaced(f"line {reader.line_num}", f"it is no CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _jsonl(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, dict[str, str]]]:
    for line_number, line in lines:
        if not line.strip():
            continue
        position = f"line {line_number}"
        try:
            row: Any = strict_json.loads(line, "it")
        except strict_json.StrictJSONError:
            # The parser's message might repeat a part of a secret.
            raise misplaced(position, "it is no strict JSON") from None
        if not isinstance(row, dict):
            raise misplaced(position, "it is no JSON object")
        _check_columns(row, line_number)
        wrong = next((name for name, value in row.items() if not isinstance(value, (str, type(None)))), None)
        if wrong is not None:
            raise misplaced(position, f"its member `{wrong}` is not text")
        yield line_number, {name: value for name, value in row.items() if value and value.strip()}


def _check_columns(names: Iterable[str], line: int) -> None:
    names = list(names)
    for name in names:
        if name not in COLUMNS:
            raise misplaced(
                f"line {line}", f"there is no column {quote(name)}", f"there are: {', '.join(COLUMNS)}"
            )
    if len(set(names)) != len(names):
        raise misplaced(f"line {line}", "it names a column twice")


def _standing_secret(
    line_number: int, row: dict[str, str], fields: Mapping[str, Field], defaults: Mapping[str, Any]
) -> StandingSecret:
    with at(f"line {line_number}"):
        facts: dict[str, Any] = {name: row.get(name) or defaults.get(name) for name in STATED}
        for name in ("name", "owner", "place", "purpose"):
            if not facts[name]:
                raise UsageError(f"it has no {name}")
        secret_columns = [name for name in _SECRETS if name in row]
        if len(secret_columns) != 1:
            raise UsageError(
                "it says twice which secret it is"
                if secret_columns
                else "it does not say which secret it is",
                f"give one of: {', '.join(_SECRETS)}",
            )
        check_elsewhere(facts, row[secret_columns[0]])
        for name in STATED:
            type_ = fields[name].type
            if name in row and type_ is not None:
                facts[name] = type_.parse(row[name], f"`{name}`")
        return standing_secret(
            line_number, facts, _kept(secret_columns[0], row[secret_columns[0]], facts["prefix"])
        )


def _kept(form: str, text: str, prefix: str | None) -> KeptSecret:
    match form:
        case "secret":
            return read_secret.of_secret(text, prefix)
        case "fingerprint":
            return read_secret.of_fingerprint(text, prefix)
        case _:
            return read_secret.of_public(text)


def check_elsewhere(facts: Mapping[str, Any], secret: str) -> None:
    """Raise UsageError if a field that is stored and shown contains the secret. The error does not repeat it."""
    secret = bare(secret)
    for field, text in facts.items():
        if isinstance(text, str) and secret and secret in text:
            raise UsageError(
                f"the secret stands in the {field.replace('_', ' ')}, which is kept and shown",
                "leave it out there; on a command line it is in your shell's history now",
            )


def standing_secret(line: int, facts: Mapping[str, Any], secret: KeptSecret) -> StandingSecret:
    """Return one secret with its stated facts. Raises UsageError for a reference without a target."""
    if facts["reference"] is not None and facts["target"] is None:
        raise UsageError("--reference says what it is called at a target", "name that with --target")
    stated = {name: facts[name] for name in STATED if name != "expires"}
    stated |= {
        "agent": facts["agent"] or facts["name"],
        "sensitivity": facts["sensitivity"] or "moderate",
        "expires_at": facts["expires"],
        **secret._asdict(),
    }
    return StandingSecret(line=line, **stated)
