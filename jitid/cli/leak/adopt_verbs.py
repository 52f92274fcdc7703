"""`jitid adopt`: record existing standing secrets, show and change them, and record their end.

`jitid adopt suggest` has replacements for them: configuration, policy and commands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority, open_for_preview, open_or_create_authority
from jitid.capabilities.adopt import operations as ops
from jitid.capabilities.adopt import read_secret
from jitid.capabilities.adopt.adoption import Amended
from jitid.capabilities.adopt.read_secret import STATED, check_elsewhere, read, standing_secret
from jitid.cli.invocation import Invocation
from jitid.cli.leak.trace import some
from jitid.errors import NotFoundError, UsageError
from jitid.formats.display import Display
from jitid.model.adopted import MOST_SECRET
from jitid.system import output, read_input
from jitid.system.read_input import unmarked
from jitid.values.text import mark_of, number_of, safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitid.capabilities.adopt.adoption import AdoptedSecret, Adoption
    from jitid.capabilities.adopt.read_secret import KeptSecret
    from jitid.capabilities.adopt.replacement import SecretReplacement
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority


_PAGE = 1_000
_ONE = ("name", "owner", "place", "purpose")


def add(cli: Invocation, args: commands.AdoptAddCommand) -> None:
    """Perform `jitid adopt add`."""
    facts = {name: getattr(args, name) for name in STATED}
    content = None
    if args.from_file is not None:
        others = (args.file, args.fingerprint, args.public_key, args.name)
        if any(other is not None for other in others):
            raise UsageError(
                "--from-file cannot be combined with a name or a secret", "leave them out: the file has both"
            )
        secrets, content = read(args.from_file, args.as_, args.fields, facts)
    else:
        if args.as_ is not None:
            raise UsageError("--as requires --from-file")
        missing = [fact for fact in _ONE if not facts[fact]]
        if missing:
            raise UsageError(
                f"an adopted secret requires {'a name' if missing[0] == 'name' else f'--{missing[0]}'}; "
                "nothing was changed",
                "state name, owner, place and purpose: "
                "jitid adopt add NAME --owner DELEGATOR --place TEXT --purpose TEXT",
            )
        secrets = (standing_secret(0, facts, _kept(args, facts)),)
    operation = ops.Adopt(
        secrets=secrets, content=content, dry_run=args.dry_run, accept_clock=cli.accept_clock
    )
    config = cli.config()
    authority = open_for_preview(config) if args.dry_run else open_or_create_authority(config, cli.note)
    _report(cli, authority.perform(operation), args)


def _kept(args: commands.AdoptAddCommand, facts: Mapping[str, Any]) -> KeptSecret:
    """Return the facts to store about the secret. Raises UsageError unless it is given in exactly one way."""
    if sum(way is not None for way in (args.file, args.fingerprint, args.public_key)) > 1:
        raise UsageError("--file, --fingerprint and --public-key cannot be combined", "give one of them")
    if args.fingerprint is not None:
        return read_secret.of_fingerprint(args.fingerprint, args.prefix)
    if args.public_key is not None:
        return read_secret.of_public(
            unmarked(args.public_key, MOST_SECRET, "the public key").decode("ascii", "replace")
        )
    data = read_input.read(args.file or "-", MOST_SECRET + 2, "the secret")
    if mark := mark_of(data):
        raise UsageError(
            f"the secret begins with {mark}; nothing was changed", "save it as UTF-8 without the mark"
        )
    try:
        text = data.decode("utf-8")
        check_elsewhere(facts, text)
        return read_secret.of_secret(text, args.prefix)
    except UnicodeDecodeError:
        raise UsageError("the secret is not UTF-8 text", "give its SHA-256 with --fingerprint") from None


def _report(cli: Invocation, adoption: Adoption, args: commands.AdoptAddCommand) -> None:
    # Only a single new secret has ids.
    single = adoption.taken[0] if len(adoption.taken) == 1 and adoption.new == 1 else None
    computed = {
        "name": args.name,
        "id": None if single is None else single.id,
        "jti": None if single is None else single.jti,
        "dry_run": args.dry_run,
    }
    sentence = _sentence(adoption, args.name, dry_run=args.dry_run)
    cli.show_record(args.view, adoption, f"{sentence}\n", computed)
    for reason in adoption.unseen:
        cli.note(f"the target could not check the secret: {reason}")
    if adoption.unverified:
        cli.note(
            "the owner is not in the directory"
            if adoption.unverified == adoption.new == 1
            else f"the owners of {number_of(adoption.unverified, 'secret')} are not in the directory"
        )


def _sentence(adoption: Adoption, name: str | None, *, dry_run: bool) -> str:
    subject = number_of(adoption.new, "secret") if name is None else name
    if not adoption.new:
        return (
            f"{name} is adopted already"
            if name is not None
            else f"{number_of(adoption.already, 'secret')} are adopted already"
        )
    also = f"; {adoption.already} were adopted already" if adoption.already else ""
    if dry_run:
        return f"would adopt {subject}{also}; nothing was changed"
    as_jti = f" as {adoption.taken[0].jti}" if adoption.new == 1 else ""
    return f"adopted {subject}{as_jti} (audit event {adoption.event}){also}"


def list_(cli: Invocation, operation: ops.ListAdopted) -> None:
    """Perform `jitid adopt list`."""
    pages = list(_pages(open_authority(cli.config()), operation, operation.limit))
    secrets = [secret for page in pages for secret in page.secrets]
    cli.show_records(operation.view, secrets, partial(_computed, now=pages[-1].now))
    cli.note_more(len(secrets), operation.limit)


def _pages(
    authority: Authority, operation: ops.ListAdopted, max_count: int = sys.maxsize
) -> Iterator[ops.AdoptedPage]:
    """Yield pages with at most `max_count` adopted secrets, at least one page."""
    remaining = max_count
    while remaining:
        size = min(_PAGE, remaining)
        page = authority.perform(operation.replace(limit=size))
        yield page
        if len(page.secrets) < size:
            return
        remaining -= size
        operation = operation.replace(after=page.secrets[-1].credential.key)


def show(cli: Invocation, args: commands.AdoptShowCommand) -> None:
    """Perform `jitid adopt show`."""
    page = open_authority(cli.config()).perform(ops.ListAdopted(names=(args.name,), limit=1))
    row = args.view.row(page.secrets[0], _computed(page.secrets[0], page.now))
    filled = {field: value for field, value in row.items() if value is not None} if cli.by_eye() else row
    cli.show(Display(args.view.schema, tuple(filled), [filled], one=True))


def _computed(secret: AdoptedSecret, now: int) -> dict[str, Any]:
    fingerprint = secret.credential.fingerprint
    return {
        "state": secret.state_at(now),
        "fingerprint": None if fingerprint is None else fingerprint.hex(),
    }


def change(cli: Invocation, args: commands.AdoptChangeCommand) -> None:
    """Perform `jitid adopt change`."""
    amended = Amended(
        args.owner, args.place, args.purpose, args.agent, args.expires, args.target, args.reference
    )
    if amended == Amended():
        raise UsageError("no new value is stated; nothing was changed", "see: jitid adopt show")
    operation = ops.ChangeAdopted(names=_named(args.names), amended=amended, accept_clock=cli.accept_clock)
    page = open_authority(cli.config()).perform(operation)
    if cli.field or cli.format_name() is not None:
        # All columns, even in a table.
        cli.show(args.view.display(page.secrets, partial(_computed, now=page.now)))
        return
    for secret in page.secrets:
        ending = "revoked by hand" if secret.target is None else f"revoked by target {secret.target}"
        place = safe(secret.adopted.place)
        output.write(f"{secret.name}: owner {secret.credential.delegator}; kept at {place}; {ending}\n")


def ended(cli: Invocation, operation: ops.EndAdopted) -> None:
    """Perform `jitid adopt end`."""
    operation = operation.replace(names=_named(operation.names))
    result = open_authority(cli.config()).perform(operation)
    names = some(list(operation.names))
    if result.event is None:
        sentence = f"{names} had ended already"
    elif result.done == 1:
        sentence = f"recorded that {names} ended where it is kept (audit event {result.event})"
    else:
        sentence = (
            f"recorded that {result.done} secrets ended where they are kept (audit event {result.event})"
        )
    cli.show_record(operation.view, result, f"{sentence}\n")
    if result.unproved is not None:
        cli.warn(f"there is no proof that the ledger refuses the leaked secrets: {result.unproved}")


def _named(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


_AT_ONCE = 100
_WIDTH = 100


def suggest(cli: Invocation, operation: ops.SuggestReplacements) -> None:
    """Perform `jitid adopt suggest`."""
    if bool(operation.names) is operation.all_:
        raise UsageError(
            "no secret is named" if not operation.names else "--all and names contradict each other",
            "name adopted secrets, or use --all",
        )
    authority = open_authority(cli.config())
    chosen_names = _named(operation.names) or _live_names(authority)
    if not chosen_names:
        raise NotFoundError("there is no adopted secret that may still work", "see: jitid adopt list")
    replacements = [
        replacement
        for start in range(0, len(chosen_names), _AT_ONCE)
        for replacement in authority.perform(operation.replace(names=chosen_names[start : start + _AT_ONCE]))
    ]
    if cli.field or cli.format_name() is not None:
        cli.show_records(operation.view, replacements, partial(_as_commands, cli))
    else:
        output.write("\n".join(_text(cli, replacement) for replacement in replacements))


def _live_names(authority: Authority) -> tuple[str, ...]:
    """Return the names of all secrets that may still work, each once."""
    pages = _pages(authority, ops.ListAdopted(live=True, limit=_PAGE))
    return _named([secret.name for page in pages for secret in page.secrets])


def _as_commands(cli: Invocation, replacement: SecretReplacement) -> dict[str, Any]:
    return {
        "configuration": replacement.table or None,
        "policy": replacement.policy or None,
        "commands": [cli.command(command) for command in replacement.commands],
    }


def _text(cli: Invocation, replacement: SecretReplacement) -> str:
    """Return a suggestion as a document with parts to copy into the configuration, the policy and a shell."""
    from textwrap import wrap

    lines = [f"# {safe(replacement.name)}: {replacement.kind or 'no replacement'}"]
    lines += [f"# {line}" for line in wrap(replacement.why, _WIDTH)]
    for title, text in (("the configuration", replacement.table), ("the policy", replacement.policy)):
        if text:
            lines += ["", f"# For {title}:", *text.rstrip("\n").split("\n")]
    lines += ["", "# Then run:", *(cli.command(command) for command in replacement.commands)]
    return "\n".join(lines) + "\n"
