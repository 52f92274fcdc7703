"""Standing secrets that are texts, keys or certificates: the recorded facts of each, never the secret.

And the stated facts about them: from a command line, or many of them from CSV or JSON lines.
"""

from __future__ import annotations

import csv
import math
import os
from binascii import a2b_base64
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from jitid.capabilities.directory.roster.roster_entry import at, misplaced
from jitid.capabilities.directory.roster.roster_file import Content
from jitid.crypto import openssh
from jitid.errors import UsageError
from jitid.model.adopted import LEAST_SECRET, LONGEST_PREFIX, MOST_SECRET, MOST_SECRETS, StandingSecret
from jitid.redaction.token_format import CERTIFICATE, SIGNED_MARK, bare, holds_token, is_ssh_certificate
from jitid.system.read_input import file_of, opened, unreadable
from jitid.values import strict_json
from jitid.values.declaration import Field
from jitid.values.record import Record
from jitid.values.text import quote

_BITS = 56
"""The minimum number of bits of a secret, estimated from its length and its number of different characters."""
_LONGEST_STATED = 32
"""The maximum number of characters of a stated prefix."""
_PRIVATE = "PRIVATE KEY-----"
_KNOWN = (
    "github_pat_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "glpat-",
    "gldt-",
    "glrt-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "sk-ant-",
    "sk-proj-",
    "hvs.",
    "hvb.",
    "npm_",
    "pypi-",
    "dop_v1_",
    "shpat_",
    "AIza",
    "SG.",
    "hf_",
    "lin_api_",
    "dckr_pat_",
)
"""Prefixes of the tokens of widely used services: a prefix names the kind of token, and is public."""


class KeptSecret(Record):
    """The facts of a secret that the ledger records."""

    fingerprint: bytes
    """SHA-256: of the text of a secret, of a certificate's DER, of the blob of an SSH key, of any other public key."""
    public: bytes | None
    """SHA-256 of the SubjectPublicKeyInfo of a key, or of the key in a certificate."""
    prefix: str | None
    length: int | None


def of_secret(text: str, prefix: str | None) -> KeptSecret:
    """Return the facts to record of a secret text, without a line end after it.

    `prefix` is its beginning, if that is public; by default, the prefix of a widely used service.

    Raises:
        UsageError: it is empty, too long, public, or a token of jitid; it could be guessed from its fingerprint; or it
            does not have that prefix.

    """
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise UsageError("the secret is empty")
    if "\0" in text:
        raise UsageError("the secret contains a NUL byte", "give its SHA-256 with --fingerprint")
    if len(text.encode("utf-8", "surrogatepass")) > MOST_SECRET:
        raise UsageError(f"the secret has more than {MOST_SECRET:,} bytes")
    if (
        text.lstrip().startswith(CERTIFICATE)
        or is_ssh_certificate(text.lstrip())
        or "PUBLIC KEY-----" in text
    ):
        raise UsageError(
            "the input is public: a certificate or a public key", "give it with --public-key FILE"
        )
    if _PRIVATE in text:
        return KeptSecret(_print(text), _public_of_private(text), _begins(text), None)
    if SIGNED_MARK in text or ("jitid_" in text and holds_token(text)):
        raise UsageError(
            "the secret is a token of jitid, which its ledger knows already", "to identify it: jitid trace"
        )
    prefix = _checked_prefix(text, prefix)
    remainder = text.removeprefix(prefix or "")
    if len(remainder) < LEAST_SECRET or len(remainder) * math.log2(max(len(set(remainder)), 1)) < _BITS:
        raise UsageError(
            "the secret is too weak: a reader of the ledger could guess it from its fingerprint; "
            f"it must have at least {LEAST_SECRET} characters, and not the same few repeated",
            "replace it by a longer random secret",
        )
    return KeptSecret(_print(text), None, prefix, len(text.encode("utf-8", "surrogatepass")))


def of_public(text: str) -> KeptSecret:
    """Return the facts to record of a public key or a certificate: PEM, or a line of OpenSSH.

    Raises UsageError if it is neither.
    """
    text = bare(text)
    if _PRIVATE in text:
        raise UsageError(
            "the input is a private key; expected a public key or a certificate", "give its public key"
        )
    try:
        if text.startswith(CERTIFICATE):
            return _of_certificate(text)
        if is_ssh_certificate(text):
            certificate = openssh.parse_certificate(text)
            return KeptSecret(sha256(certificate.blob).digest(), None, _begins(text), None)
        if text.startswith("-----BEGIN"):
            from cryptography.hazmat.primitives.serialization import load_pem_public_key

            public = _spki(load_pem_public_key(text.encode("ascii")))
            return KeptSecret(public, public, _begins(text), None)
        from cryptography.hazmat.primitives.serialization import load_ssh_public_key

        key = load_ssh_public_key(text.encode("ascii"))
        blob = openssh.parse_public(text).blob if text.startswith("ssh-ed25519 ") else _blob(text)
        return KeptSecret(sha256(blob).digest(), _spki(key), _begins(text), None)
    except UsageError:
        raise
    except Exception as error:
        # An error of a parser could repeat the text.
        raise UsageError("not a public key or a certificate", "expected PEM, or a line of OpenSSH") from error


def of_fingerprint(text: str, prefix: str | None) -> KeptSecret:
    """Return the facts to record of a secret from its fingerprint alone.

    Raises UsageError if the text is not a fingerprint, or the prefix is the secret itself.
    """
    raw = parse_fingerprint(text)
    if prefix is not None and _print(_well_formed(prefix)) == raw:
        raise UsageError(
            "the prefix is the whole secret, which is never stored", "give a shorter prefix, or none"
        )
    return KeptSecret(raw, None, prefix, None)


def parse_fingerprint(text: str) -> bytes:
    """Return a fingerprint from 64 hexadecimal digits, also with `sha256:` before them. Raises UsageError."""
    digits = text.strip().lower().removeprefix("sha256:")
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raw = b""
    if len(raw) != sha256().digest_size or len(digits) != 2 * len(raw):
        raise UsageError(
            f"{quote(text)} is not a fingerprint" if len(text) > 64 else "not a fingerprint",
            'expected SHA-256 of the secret as 64 hexadecimal digits: printf %s "$SECRET" | sha256sum',
        )
    return raw


def _print(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _begins(text: str) -> str | None:
    """Return the first line of PEM, or the first word of a line of OpenSSH, which names the type."""
    line = text.strip().partition("\n")[0].strip()
    line = line if line.startswith("-----BEGIN ") else line.partition(" ")[0]
    return line if 0 < len(line) <= LONGEST_PREFIX and line.isascii() and line.isprintable() else None


def _checked_prefix(text: str, prefix: str | None) -> str | None:
    if prefix is None:
        return next((known_prefix for known_prefix in _KNOWN if text.startswith(known_prefix)), None)
    if not text.startswith(_well_formed(prefix)):
        raise UsageError("the secret does not begin with the given prefix")
    return prefix


def _well_formed(prefix: str) -> str:
    """Return a prefix. Raises UsageError, which does not repeat it: it may contain too much of the secret."""
    if (
        not 0 < len(prefix) <= _LONGEST_STATED
        or not prefix.isascii()
        or not prefix.isprintable()
        or " " in prefix
    ):
        raise UsageError(f"a prefix must have 1 to {_LONGEST_STATED} printable characters without spaces")
    return prefix


def _of_certificate(text: str) -> KeptSecret:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = x509.load_pem_x509_certificate(text.encode("ascii"))
    der = certificate.public_bytes(Encoding.DER)
    return KeptSecret(sha256(der).digest(), _spki(certificate.public_key()), _begins(text), None)


def _public_of_private(text: str) -> bytes | None:
    """Return SHA-256 of the public key of a private key; None if it has a passphrase or an unknown format."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    load = load_ssh_private_key if "OPENSSH" in text else load_pem_private_key
    try:
        return _spki(load(text.strip().encode("ascii") + b"\n", password=None).public_key())
    except Exception:  # noqa: BLE001 - a parser's error may quote the secret, so it must not be shown
        return None


def _spki(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return sha256(der).digest()


def _blob(line: str) -> bytes:
    return a2b_base64(line.split()[1])


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
        raise UsageError("the format of the list is unknown", "state it with --as: csv, jsonl")
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
                f"the list has more than {MOST_SECRETS:,} secrets; nothing was changed",
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
        raise misplaced(f"line {reader.line_num}", f"it is not CSV: {error}") from None
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
            raise misplaced(position, "it is not strict JSON") from None
        if not isinstance(row, dict):
            raise misplaced(position, "it is not a JSON object")
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
                f"line {line}", f"there is no column {quote(name)}", f"the columns are: {', '.join(COLUMNS)}"
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
                raise UsageError(f"`{name}` is missing")
        secret_columns = [name for name in _SECRETS if name in row]
        if len(secret_columns) != 1:
            raise UsageError(
                "more than one column identifies the secret"
                if secret_columns
                else "no column identifies the secret",
                f"give exactly one of: {', '.join(_SECRETS)}",
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
            return of_secret(text, prefix)
        case "fingerprint":
            return of_fingerprint(text, prefix)
        case _:
            return of_public(text)


def check_elsewhere(facts: Mapping[str, Any], secret: str) -> None:
    """Raise UsageError if a field that is stored and shown contains the secret. The error does not repeat it."""
    secret = bare(secret)
    for field, text in facts.items():
        if isinstance(text, str) and secret and secret in text:
            raise UsageError(
                f"the {field.replace('_', ' ')} contains the secret, and is stored and shown",
                "leave the secret out there; after a command line, delete it from the history of the shell",
            )


def standing_secret(line: int, facts: Mapping[str, Any], secret: KeptSecret) -> StandingSecret:
    """Return one secret with its stated facts. Raises UsageError for a reference without a target."""
    if facts["reference"] is not None and facts["target"] is None:
        raise UsageError("--reference requires --target", "name the target with --target")
    stated = {name: facts[name] for name in STATED if name != "expires"}
    stated |= {
        "agent": facts["agent"] or facts["name"],
        "sensitivity": facts["sensitivity"] or "moderate",
        "expires_at": facts["expires"],
        **secret._asdict(),
    }
    return StandingSecret(line=line, **stated)
