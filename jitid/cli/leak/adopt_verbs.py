"""`jitid adopt`: record existing standing secrets, show and change them, and record their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority, open_for_preview, open_or_create_authority
from jitid.capabilities.adopt import operations as ops
from jitid.cli import read_input, record_rows
from jitid.cli.identity.list import limit_of
from jitid.cli.invocation import Invocation
from jitid.cli.leak import adopt_rows
from jitid.cli.leak.adopt_input import amended_by, check_elsewhere, standing_secret
from jitid.cli.leak.trace_rows import number, some
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.model.adopted import MOST_SECRET, check_own_name
from jitid.system import output
from jitid.values.text import check_text, mark_of, safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitid.capabilities.adopt.adoption import Adoption
    from jitid.capabilities.adopt.read_secret import KeptSecret
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority

_PAGE = 1_000
_ONE = ("name", "owner", "place", "purpose")


def add(cli: Invocation, args: commands.AdoptAddCommand) -> None:
    """Perform `jitid adopt add`."""
    cli.expect(adopt_rows.ADDED)
    facts = {
        "name": args.name,
        "owner": args.owner,
        "place": args.place,
        "purpose": args.purpose,
        "agent": args.agent,
        "sensitivity": args.sensitivity,
        "expires": args.expires,
        "target": args.target,
        "reference": args.reference,
        "prefix": args.prefix,
        "access_key_id": args.access_key_id,
    }
    content = None
    if args.from_file is not None:
        from jitid.cli.leak import adopt_file

        if (
            args.file is not None
            or args.fingerprint is not None
            or args.public_key is not None
            or args.name is not None
        ):
            raise UsageError("--from-file names all that is adopted", "leave the name and the secret out")
        secrets, content = adopt_file.read(
            args.from_file, args.as_, {key: value for key, value in facts.items() if value}
        )
    else:
        if args.as_ is not None:
            raise UsageError("--as says which form the file of --from-file has")
        missing = [fact for fact in _ONE if not facts[fact]]
        if missing:
            raise UsageError(
                f"a secret that is adopted needs {'a name' if missing[0] == 'name' else f'--{missing[0]}'}; "
                "nothing was changed",
                "say what it is called, who answers for it, where it is kept and what for: "
                "jitid adopt add NAME --owner DELEGATOR --place TEXT --purpose TEXT",
            )
        secret = _kept(args.file, args.fingerprint, args.public_key, args.prefix, facts)
        secrets = (standing_secret(0, facts, secret),)
    operation = ops.Adopt(
        secrets=secrets, content=content, dry_run=args.dry_run, accept_clock=cli.accept_clock
    )
    config = cli.config()
    authority = open_for_preview(config) if args.dry_run else open_or_create_authority(config, cli.note)
    _report(cli, authority.perform(operation), args.name, dry_run=args.dry_run)


def _kept(
    file: str | None,
    fingerprint: str | None,
    public_key: str | None,
    prefix: str | None,
    facts: Mapping[str, str | None],
) -> KeptSecret:
    """Return the facts to store about the secret. Raises UsageError unless it is given in exactly one way."""
    from jitid.capabilities.adopt import read_secret

    if sum(way is not None for way in (file, fingerprint, public_key)) > 1:
        raise UsageError(
            "--file, --fingerprint and --public-key are three ways to say the same", "give one of them"
        )
    if fingerprint is not None:
        return read_secret.of_fingerprint(fingerprint, prefix)
    if public_key is not None:
        return read_secret.of_public(
            read_input.unmarked(public_key, MOST_SECRET, "the public key").decode("ascii", "replace")
        )
    data = read_input.read(file or "-", MOST_SECRET + 2, "the secret")
    if mark := mark_of(data):
        raise UsageError(
            f"the secret begins with {mark}; nothing was changed", "save it as UTF-8 without the mark"
        )
    try:
        text = data.decode("utf-8")
        check_elsewhere(facts, text)
        return read_secret.of_secret(text, prefix)
    except UnicodeDecodeError:
        raise UsageError("the secret is no UTF-8 text", "give its SHA-256 with --fingerprint") from None


def _report(cli: Invocation, adoption: Adoption, name: str | None, *, dry_run: bool) -> None:
    if cli.field is not None or cli.format_name() is not None:
        row = adopt_rows.added(adoption, name, dry_run=dry_run)
        cli.show(Display("jitid.adopt-add/1", adopt_rows.ADDED, [row], one=True))
    else:
        output.write(_sentence(adoption, name, dry_run=dry_run) + "\n")
    for reason in adoption.unseen:
        cli.note(f"whether it works there is not known: {reason}")
    if adoption.unverified:
        cli.note(
            "the directory does not know the owner"
            if adoption.unverified == adoption.new == 1
            else f"of {adoption.unverified} the directory does not know the owner"
        )


def _sentence(adoption: Adoption, name: str | None, *, dry_run: bool) -> str:
    subject = number(adoption.new, "secret") if name is None else name
    if not adoption.new:
        return (
            f"{name} is adopted so already"
            if name is not None
            else f"{number(adoption.already, 'secret')} are adopted so already"
        )
    also = f"; {adoption.already} were so already" if adoption.already else ""
    if dry_run:
        return f"would adopt {subject}{also}; nothing was changed"
    as_jti = f" as {adoption.taken[0].jti}" if adoption.new == 1 else ""
    return f"adopted {subject}{as_jti} (audit event {adoption.event}){also}"


def list_(cli: Invocation, args: commands.AdoptListCommand) -> None:
    """Perform `jitid adopt list`."""
    cli.expect(adopt_rows.FIELDS)
    max_count = limit_of(args.limit)
    authority = open_authority(cli.config())
    columns = record_rows.columns(cli, adopt_rows.FIELDS, adopt_rows.BRIEF)
    rows = [
        {field: row[field] for field in columns}
        for row in _pages(authority, args.owner, max_count, live=args.live)
    ]
    cli.show(Display("jitid.adopt-list/1", columns, rows))
    if args.limit is None and len(rows) == max_count:
        cli.note(f"there may be more than {max_count}: say how many with --limit")


def _pages(authority: Authority, owner: str | None, max_count: int, *, live: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after_key = 0
    while len(rows) < max_count:
        size = min(_PAGE, max_count - len(rows))
        page = authority.perform(ops.ListAdopted(owner=owner, live=live, after=after_key, limit=size))
        rows += [adopt_rows.record(secret, page.now) for secret in page.secrets]
        if len(page.secrets) < size:
            break
        after_key = page.secrets[-1].credential.key
    return rows


def show(cli: Invocation, args: commands.AdoptShowCommand) -> None:
    """Perform `jitid adopt show`."""
    cli.expect(adopt_rows.FIELDS)
    page = open_authority(cli.config()).perform(ops.ListAdopted(names=(args.name,), limit=1))
    row = adopt_rows.record(page.secrets[0], page.now)
    if not cli.by_eye():
        cli.show(Display("jitid.adopt-show/1", adopt_rows.FIELDS, [row], one=True))
        return
    filled = {field: value for field, value in row.items() if value is not None}
    cli.show(Display("jitid.adopt-show/1", tuple(filled), [filled], one=True))


def change(cli: Invocation, args: commands.AdoptChangeCommand) -> None:
    """Perform `jitid adopt change`."""
    cli.expect(adopt_rows.FIELDS)
    facts = {
        "owner": args.owner,
        "place": args.place,
        "purpose": args.purpose,
        "agent": args.agent,
        "expires": args.expires,
        "target": args.target,
        "reference": args.reference,
    }
    operation = ops.ChangeAdopted(
        names=_named(args.names), amended=amended_by(facts), accept_clock=cli.accept_clock
    )
    page = open_authority(cli.config()).perform(operation)
    rows = [adopt_rows.record(secret, page.now) for secret in page.secrets]
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.adopt-change/1", adopt_rows.FIELDS, rows))
        return
    for row in rows:
        ending = "somebody ends it there" if row["target"] is None else f"target {row['target']} ends it"
        output.write(
            f"{row['name']}: {row['owner']} answers for it; it is kept at {safe(row['place'])}; {ending}\n"
        )


def probe(cli: Invocation, args: commands.AdoptProbeCommand) -> None:
    """Perform `jitid adopt probe`."""
    cli.expect(adopt_rows.PROBED)
    probed = open_authority(cli.config()).perform(ops.ProbeAdopted(names=_named(args.names)))
    rows = [
        {"name": secret.name, "life": secret.probe.life.value, "seen": secret.probe.seen} for secret in probed
    ]
    cli.show(Display("jitid.adopt-probe/1", adopt_rows.PROBED, rows))


def ended(cli: Invocation, args: commands.AdoptEndedCommand) -> None:
    """Perform `jitid adopt ended`."""
    cli.expect(adopt_rows.ENDED)
    if args.proof is None or not args.proof.strip():
        raise UsageError(
            "what was done is not told; nothing was changed",
            "say with --proof how it is known that they work no longer: the audit log keeps it",
        )
    if len(args.proof) > _PAGE:
        raise UsageError(f"the proof is longer than {_PAGE:,} characters")
    operation = ops.EndAdopted(
        names=_named(args.names), proof=check_text(args.proof, "the proof"), accept_clock=cli.accept_clock
    )
    result = open_authority(cli.config()).perform(operation)
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.adopt-ended/1", adopt_rows.ENDED, [adopt_rows.ended(result)], one=True))
    elif result.event is None:
        output.write(f"{some(list(operation.names))} had ended already\n")
    else:
        output.write(
            f"{some(list(operation.names))} ended where it is kept (audit event {result.event})\n"
            if result.done == 1
            else f"{result.done} secrets ended where they are kept (audit event {result.event})\n"
        )
    if result.unproved is not None:
        cli.warn(f"it is not proved that the ledger refuses what leaked of it: {result.unproved}")


def _named(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_own_name(name) for name in names))
