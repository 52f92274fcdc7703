"""`jitid revoke` and `retire`: end credentials before their time, or a task.

One request to an authority names a limited number of credentials; more of them need several requests.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.inventory.operations import REVOKED, Retire, Revoke
from jitid.cli.invocation import Invocation
from jitid.cli.progress import Waiting, performed
from jitid.errors import InvalidCredentialError, JitidError, NotFoundError, UsageError
from jitid.model.ledger_rows import Radius, Selection
from jitid.system import output
from jitid.values.ids import PREFIXES, parse_id
from jitid.values.text import number_of, quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.cli.identity.subject import NamedKind, NamedObject
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret


def revoke(cli: Invocation, operation: Revoke) -> None:
    """Perform `jitid revoke`."""
    listed_ids: list[str] = []
    tokens: tuple[Secret, ...] = ()
    if operation.ids_file is not None or operation.token_file:
        listed_ids, tokens = _from_files(operation.ids_file, operation.token_file)
    check_ids(cli, operation.ids, token_files=True)
    check_ids(cli, operation.tree, token_files=False)
    operation = operation.replace(
        selection=Selection(
            ids=tuple(dict.fromkeys([*operation.ids, *listed_ids])),
            tasks=operation.task,
            delegators=operation.delegator,
            agents=operation.agent,
            trees=operation.tree,
        ),
        tokens=tokens,
        most=cli.most(operation.max_, yes=operation.yes),
    )
    if not any(operation.selection) and not operation.tokens:
        raise UsageError(
            "a selection is required", "name ids, or select by --task, --delegator, --agent or --tree"
        )
    authority = open_authority(cli.config())
    try:
        ended = perform(cli, authority, operation, operation.wait)
    except InvalidCredentialError as error:
        from jitid.cli.hints import advise

        advise(error)
        raise
    report_ended(cli, ended, dry_run=operation.dry_run)


def check_ids(cli: Invocation, texts: Iterable[str], *, token_files: bool, verb: str = "revoke") -> None:
    """Raise UsageError for a word that is not an id. The hint is the command of `verb` for the object of that name.

    `token_files`: the verb has --token-file, besides --task.
    """
    for text in texts:
        try:
            parse_id(text)
        except UsageError as error:
            from jitid.cli.hints import hint_for_word
            from jitid.cli.identity.subject import may_look_up

            found = error.hint or os.path.isfile(text) or text.startswith(PREFIXES)
            named = None if found else named_in_ledger(cli, text)
            if not found and named is None and may_look_up(text):
                error.message, error.hint = (
                    f"{quote(text)} is neither an id nor a known name",
                    "for ids: jitid list",
                )
            elif named is not None:
                unchanged = "; nothing was changed" if verb == "revoke" else ""
                error.message = f"{_not_a('an id', named)}{unchanged}"
                error.hint = command_for(cli, named, verb)
            else:
                error.hint = error.hint or hint_for_word(text, token_files=token_files)
            raise


def named_in_ledger(cli: Invocation, word: str) -> NamedObject | None:
    """Return the task, agent or delegator of a name; None if there is none, or no ledger to look it up."""
    from jitid.cli.identity import subject

    try:
        return subject.find(open_authority(cli.config()), word, "revoke")
    except UsageError:
        raise
    except JitidError:
        return None


def _not_a(expected: str, named: NamedObject) -> str:
    return f"{kind_sentence(named)}, not {expected}"


def kind_sentence(named: NamedObject) -> str:
    """Return the sentence that a name is a task, an agent or a delegator."""
    return f"{quote(named.name)} is {named.with_article}"


def command_for(cli: Invocation, named: NamedObject, verb: str = "revoke") -> str:
    """Return the command of a verb for the credentials of a named object."""
    from jitid.cli.identity.subject import option_of

    return cli.command(f"jitid {verb} {option_of(named)}")


@contextmanager
def advised_without_record(cli: Invocation, kind: NamedKind, name: str, first: str) -> Iterator[None]:
    """Add to the error about an agent or a delegator without a record how to stop it; `first` makes the record."""
    from jitid.cli.identity.subject import NamedObject

    try:
        yield
    except NotFoundError as error:
        to_revoke = command_for(cli, NamedObject(kind, name), "revoke --dry-run")
        error.hint = f"to revoke its credentials: {to_revoke}; to withdraw it, record it first: {first}"
        raise


def _from_files(ids_file: str | None, token_files: Sequence[str]) -> tuple[list[str], tuple[Secret, ...]]:
    """Return the ids and the tokens in files. Raises UsageError."""
    from jitid.system.read_input import check_one_stdin, lines, token

    check_one_stdin(ids_file, *token_files)
    listed_ids = [] if ids_file is None else [text for _, text in lines(ids_file, "the list of ids")]
    for text in listed_ids:
        parse_id(text)
    if ids_file is not None and not listed_ids:
        raise UsageError(
            "the list of ids is empty; nothing was changed",
            "an empty selection never selects all credentials",
        )
    return listed_ids, tuple(token(path, "the token") for path in token_files)


def retire(cli: Invocation, operation: Retire) -> None:
    """Perform `jitid retire`."""
    authority = open_authority(cli.config())
    try:
        retired = performed(cli, authority, operation, "retiring the task")
    except NotFoundError as error:
        from jitid.cli.identity.subject import is_file

        named = named_in_ledger(cli, operation.task)
        if operation.task.startswith(PREFIXES):
            error.hint = cli.command(f"jitid revoke --dry-run {operation.task}")
        elif named is not None:
            error.message = f"{_not_a('a task', named)}; nothing was changed"
            error.hint = f"to see its tasks: {command_for(cli, named, 'list')}"
        elif is_file(operation.task):
            error.hint = "for the task of the token in that file: jitid inspect --field task.name FILE"
        raise
    ended = _confirmed_at_targets(cli, authority, retired, operation.wait)
    report_ended(cli, ended, dry_run=operation.dry_run)


def perform(cli: Invocation, authority: Authority, operation: Revoke, wait: int | None = None) -> Ended:
    """Perform a revocation, also at targets. At a terminal, ask for confirmation of more credentials than the limit.

    Wait at most `wait` seconds for targets that do not confirm at once.
    """
    limit = operation.most
    if not operation.dry_run:
        preview = operation.replace(reason=None, most=None, dry_run=True)
        limit = confirmed(cli, limit, lambda: performed(cli, authority, preview, COUNTING).radius)
    doing = COUNTING if operation.dry_run else "revoking the credentials"
    ended = performed(cli, authority, operation.replace(most=limit), doing)
    return _confirmed_at_targets(cli, authority, ended, wait)


COUNTING = "counting the credentials to revoke"


def _confirmed_at_targets(cli: Invocation, authority: Authority, ended: Ended, wait: int | None) -> Ended:
    if not ended.unsettled:
        return ended
    from jitid.authority.settle_at_targets import confirm

    with Waiting(cli, lambda: "waiting for the targets to confirm"):
        return confirm(authority, ended, wait)


def confirmed(cli: Invocation, limit: int | None, foresee: Callable[[], Radius]) -> int | None:
    """Return the maximum number of credentials to end: at a terminal, the foreseen number if the user types it.

    Raises:
        UsageError: the user typed another text.

    """
    if limit is None or not cli.can_prompt():
        return limit
    from jitid.cli.input_lines import confirm

    radius = foresee()
    count = radius.credentials
    if count <= limit:
        return limit
    confirm(
        f"revoke {revocation_result.blast(radius)}",
        count,
        f"the number of credentials, {count}, to revoke them; any other answer revokes none",
    )
    return count


def report_ended(cli: Invocation, ended: Ended, *, dry_run: bool) -> None:
    """Show the result of a revocation, as a sentence or in the requested format."""
    if cli.field or cli.format_name() is not None:
        cli.show_records(REVOKED, [ended], lambda _: {"dry_run": dry_run})
        if ended.unproved is not None:
            cli.warn(unproved(ended.unproved))
    else:
        output.write_line(sentence(ended, dry_run=dry_run))
    if ended.unconfirmed:
        from jitid.authority.settle_at_targets import must_be_confirmed

        must_be_confirmed(ended)


def row(ended: Ended, *, dry_run: bool) -> dict[str, Any]:
    """Return the result of a revocation as a row with the fields of `REVOKED`."""
    return REVOKED.row(ended, {"dry_run": dry_run})


def sentence(ended: Ended, *, dry_run: bool) -> str:
    """Return the result of a revocation in words."""
    if dry_run:
        return f"would revoke {revocation_result.blast(ended.radius)}; nothing was changed"
    if ended.credentials:
        blast = revocation_result.blast(ended.radius, ended.accepted_until, ended.settled_at)
        text = f"revoked {blast} (audit event {ended.event})"
    elif ended.task is not None and ended.event is not None:
        text = f"retired task {ended.task}, without live credentials (audit event {ended.event})"
    else:
        facts = revocation_result.facts(ended.radius, ended.accepted_until, ended.settled_at)
        text = f"no live credential: all had ended already{'; ' if facts else ''}{facts}"
    if ended.barred:
        text = f"{text}; {barred(ended.barred)}"
    confirmation = revocation_result.at_targets(ended)
    if confirmation is not None:
        text = f"{text}; {confirmation}"
    return text if ended.unproved is None else f"{text}; {unproved(ended.unproved)}"


def barred(processes: int) -> str:
    """Return the sentence for processes of clients that get no other identity."""
    # The ledger does not know which of them still run.
    they = "it still runs, gets no other identity until it is"
    if processes > 1:
        they = "they still run, get no other identity until they are"
    return f"{number_of(processes, 'process', 'processes')}, if {they} restarted"


def unproved(reason: str) -> str:
    """Return the sentence for a revocation without proof that the ledger refuses the leaked credentials."""
    return f"no proof that the ledger refuses the leaked credentials: {reason}"


_ID = 40
"""Number of characters of an id in a request, with its quotes and separators."""


def revoke_many(cli: Invocation, authority: Authority, operation: Revoke, room: int | None) -> Ended:
    """End any number of credentials that an operation selects by id, in requests of at most `room` characters.

    The guard counts all of them before any credential ends. The combined result has the numbers of tasks,
    delegators and barred processes of the largest request, since several requests may name the same ones.

    Raises:
        TooManyError: more credentials than `operation.most` would end; nothing was changed.

    """
    parts = _parts(operation, room)
    if len(parts) <= 1:
        return perform(cli, authority, operation)
    limit = operation.most
    if not operation.dry_run and limit is not None:
        foreseen = _foreseen(cli, authority, operation, parts)
        limit = confirmed(cli, limit, lambda: foreseen)
        revocation_result.guard(foreseen, limit or 0)
    return _together(
        [perform(cli, authority, _part(operation, part, dry_run=operation.dry_run)) for part in parts]
    )


def confirmed_many(cli: Invocation, authority: Authority, operation: Revoke, room: int | None) -> int | None:
    """Return the maximum number of credentials that an operation may revoke, as `confirmed` does."""
    parts = _parts(operation, room)
    return confirmed(cli, operation.most, lambda: _foreseen(cli, authority, operation, parts))


def _parts(operation: Revoke, room: int | None) -> list[tuple[str, ...]]:
    """Return the ids of an operation in parts, each for one request."""
    ids = operation.selection.ids
    size = max(len(ids) if room is None else room // _ID, 1)
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _foreseen(
    cli: Invocation, authority: Authority, operation: Revoke, parts: Sequence[tuple[str, ...]]
) -> Radius:
    previews = (_part(operation.replace(reason=None), part, dry_run=True) for part in parts)
    return _together([performed(cli, authority, preview, COUNTING) for preview in previews]).radius


def _part(operation: Revoke, ids: tuple[str, ...], *, dry_run: bool) -> Revoke:
    return operation.replace(selection=Selection(ids=ids), tokens=(), most=None, dry_run=dry_run)


def _together(parts: Sequence[Ended]) -> Ended:
    """Return the combined result of several revocations."""
    radii = [part.radius for part in parts]
    refusal_times = [radius.refused_since for radius in radii]
    combined = Radius(
        matched=sum(radius.matched for radius in radii),
        identities=sum(radius.identities for radius in radii),
        credentials=sum(radius.credentials for radius in radii),
        tasks=max(radius.tasks for radius in radii),
        delegators=max(radius.delegators for radius in radii),
        offline_until=_latest(radius.offline_until for radius in radii),
        signed=sum(radius.signed for radius in radii),
        # If one part is still accepted, so is the whole.
        refused_since=None if None in refusal_times else _latest(refusal_times),
        accepted_until=_latest(radius.accepted_until for radius in radii),
        at=max(radius.at for radius in radii),
        at_targets=_latest(radius.at_targets for radius in radii),
        exchanged_until=_latest(radius.exchanged_until for radius in radii),
    )
    return parts[-1]._replace(
        radius=combined,
        credentials=sum(part.credentials for part in parts),
        event=next((part.event for part in reversed(parts) if part.event is not None), None),
        unsettled=sum(part.unsettled for part in parts),
        earlier=tuple(id_ for part in parts for id_ in part.earlier),
        confirmed=sum(part.confirmed for part in parts),
        barred=max(part.barred for part in parts),
        unsupported=sum(part.unsupported for part in parts),
        left=tuple(unconfirmed for part in parts for unconfirmed in part.left),
        unsaid=_first(part.unsaid for part in parts),
        unproved=_first(part.unproved for part in parts),
        settled_at=_latest(part.settled_at for part in parts),
    )


def _latest(times: Iterable[int | None]) -> int | None:
    return max((time for time in times if time is not None), default=None)


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text is not None), None)
