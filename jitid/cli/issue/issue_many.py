"""`jitid issue --count` and `--from-file`: many credentials, a JSON line each, a thousand in a transaction."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from jitid.authority.hand_out import hand_out
from jitid.authority.open import open_for_issue, open_for_preview
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.issue.request_options import MEMBERS, RequestOptions, merged
from jitid.cli import input_lines
from jitid.cli.input_lines import confirm
from jitid.cli.issue.commands import GRANTED
from jitid.errors import ApprovalNeededError, JitidError, PartialError, PolicyDeniedError, UsageError
from jitid.model.credential import is_outside
from jitid.model.request import MOST_AT_ONCE, MOST_QUESTIONS, questions
from jitid.system import output
from jitid.system.read_input import lines
from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.invocation import Invocation
    from jitid.cli.issue import commands
    from jitid.model.request import IssueRequest
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret

_HELD = 1 << 26
"""Number of characters of a list that are kept in memory, to count its lines before the first one is issued."""
Numbered = tuple[int, "IssueRequest"]


def issue(cli: Invocation, args: commands.IssueCommand, template: IssueRequest, proof: Secret | None) -> None:
    """Issue many credentials and write a JSON line for each.

    Raises:
        UsageError: a line is invalid; no credential of its transaction was issued.
        PartialError: an error occurred after other transactions were done.

    """
    _check_options(cli, args)
    config = cli.config()
    limit = None if args.yes or args.dry_run else config.number("max_issue")
    if args.count is not None:
        _confirm(cli, args.count, limit)
        batches = _copies(template, args.count)
    else:
        batches = _lines(template, str(args.from_file), limit)
    authority: Authority | None = open_for_preview(config) if args.dry_run else None
    # Reference counting frees the objects of a line. The cycle collector need not run every few lines.
    gc.set_threshold(input_lines.GC_THRESHOLD)
    notes: dict[str, int] = {}
    issued_count = 0
    try:
        for batch in batches:
            operation = Issue(
                requests=tuple(request for _, request in batch),
                delegator_token=proof,
                dry_run=args.dry_run,
                as_of=args.as_of,
                accept_clock=cli.accept_clock,
            )
            with _naming_the_line(batch):
                # The first lines are checked before the first use creates a ledger for them.
                authority = authority or open_for_issue(config, operation, cli.note)
                try:
                    issued = authority.perform(operation)
                except ApprovalNeededError as denial:
                    from jitid.cli.issue import approve_verbs

                    authority, issued = approve_verbs.approved(cli, authority, denial, operation, args.wait)
            _hand_out(cli, authority, operation.requests, issued, notes)
            issued_count += sum(request.copies for request in operation.requests)
            _progress(cli, issued_count, args.count)
    except JitidError as error:
        if not issued_count and args.from_file is not None and not args.dry_run:
            _add_nothing_issued(error)
        if not issued_count or error.exit_status == 74:
            raise
        outcome = "no later ones; the state of this transaction is unknown" if error.unsure else "no others"
        raise PartialError(
            f"{error.message}; the first {issued_count} credentials were issued, {outcome}", error.hint
        ) from error
    else:
        if not issued_count:
            cli.note("the list of tasks is empty: nothing was issued")
    finally:
        if issued_count:
            _progress(cli, issued_count, args.count, "\n")
        for note, times in notes.items():
            cli.note(note if times == 1 else f"{note} ({times} times)")


def _check_options(cli: Invocation, args: commands.IssueCommand) -> None:
    """Raise UsageError for options that a list of credentials cannot have."""
    if cli.field or cli.format not in (None, "jsonl"):
        raise UsageError(
            "several credentials can only be written as JSON lines",
            "omit --format and --field; to select fields, pipe the lines to jq",
        )
    if args.out is not None:
        raise UsageError(
            "--out can only be used for a single token",
            "redirect the lines to a file: (umask 077; jitid issue … >FILE)",
        )
    if args.count is not None and args.from_file is not None:
        raise UsageError("--count and --from-file exclude each other")


def _add_nothing_issued(error: JitidError) -> None:
    """Add "nothing was issued" to the message of a refusal. Other errors state the outcome themselves."""
    refused = isinstance(error, UsageError | PolicyDeniedError) and not isinstance(error, ApprovalNeededError)
    if refused and "nothing was" not in error.message:
        error.message += "; nothing was issued"


@contextmanager
def _naming_the_line(batch: list[Numbered]) -> Iterator[None]:
    try:
        yield
    except JitidError as error:
        line_number = 0 if error.position is None else batch[error.position][0]
        if line_number:
            error.message = f"line {line_number}: {error.message}"
        raise


def _hand_out(
    cli: Invocation,
    authority: Authority,
    requests: Sequence[IssueRequest],
    issued: list[Issued],
    notes: dict[str, int],
) -> None:
    text = "".join([_written(issuance, request) for issuance, request in zip(issued, requests, strict=True)])
    hand_out(authority, issued, lambda: output.write(text), warn=cli.warn, command=cli.command)
    for issuance in issued:
        for note in issuance.notes:
            notes[note] = notes.get(note, 0) + 1


def _written(issued: Issued, request: IssueRequest) -> str:
    row = GRANTED.row(issued)
    if row["template"] is None:
        del row["template"]
    if not issued.credentials:
        return strict_json.dumps({**row, "rules": issued.decision.rules, "count": request.copies}) + "\n"
    # The common members are encoded once. Ids and tokens of jitid need no escapes in JSON.
    common = strict_json.dumps(row)[1:]
    if is_outside(issued.kind) or issued.credentials[0].secret.names != ("token",):
        return "".join(
            [
                f'{{"id":"{credential.id}","jti":"{credential.jti}","secret":{_parts(credential.secret)},{common}\n'
                for credential in issued.credentials
            ]
        )
    return "".join(
        [
            f'{{"id":"{credential.id}","jti":"{credential.jti}","token":"{credential.secret.reveal()}",{common}\n'
            for credential in issued.credentials
        ]
    )


def _parts(secret: Secret) -> str:
    return strict_json.dumps({name: secret.reveal(name) for name in secret.names})


def _copies(template: IssueRequest, count: int) -> Iterator[list[Numbered]]:
    while count:
        copies = min(count, MOST_AT_ONCE)
        yield [(0, template._replace(copies=copies))]
        count -= copies


def _confirm(cli: Invocation, count: int, limit: int | None) -> None:
    """Refuse more than `limit` credentials; at a terminal, ask for confirmation instead. Raises UsageError."""
    if limit is None or count <= limit:
        return
    if not cli.can_prompt():
        raise UsageError(
            f"this would issue {count} credentials, more than {limit}; nothing was issued",
            "to issue them: --yes; the limit is the setting max_issue",
        )
    confirm(
        f"issue {count} credentials",
        count,
        f"the number, {count}, to issue them; any other answer issues none",
    )


def _lines(template: IssueRequest, path: str, limit: int | None) -> Iterator[list[Numbered]]:
    numbered = lines(path, "the list of tasks")
    if limit is not None:
        numbered = _few_enough(numbered, limit)
    batch: list[Numbered] = []
    question_count = 0
    for line_number, text in numbered:
        request = _request(template, line_number, text)
        if batch and question_count + questions(request) > MOST_QUESTIONS:
            yield batch
            batch, question_count = [], 0
        batch.append((line_number, request))
        question_count += questions(request)
        if len(batch) == MOST_AT_ONCE:
            # Issue now: the next line may arrive late, or may be invalid.
            yield batch
            batch, question_count = [], 0
    if batch:
        yield batch


def _few_enough(numbered: Iterator[tuple[int, str]], limit: int) -> Iterator[tuple[int, str]]:
    """Yield the lines. Raise UsageError if there are more than `limit`.

    A list that fits into memory (`_HELD`) is counted before the first line is issued. In a longer list, the lines
    before the limit are issued.
    """
    kept_lines: list[tuple[int, str]] = []
    size = 0
    for line in numbered:
        kept_lines.append(line)
        size += len(line[1])
        if len(kept_lines) > limit or size > _HELD:
            break
    error = UsageError(
        f"the list has more than {limit} requests",
        "to issue all of them: --yes; the limit is the setting max_issue",
    )
    if len(kept_lines) > limit:
        error.message += "; nothing was issued"
        raise error
    for taken, line in enumerate(chain(kept_lines, numbered), start=1):
        if taken > limit:
            raise error
        yield line


def _request(template: IssueRequest, line_number: int, text: str) -> IssueRequest:
    """Return the request of a line. Missing members have the values of the command line."""
    try:
        members = strict_json.loads(text, "it")
        if not isinstance(members, dict):
            raise UsageError("it is not a JSON object")
        return _merged(template, members)
    except (strict_json.StrictJSONError, JitidError) as error:
        hint = error.hint if isinstance(error, JitidError) else None
        raise UsageError(f"line {line_number}: {error}", hint) from error


def _merged(template: IssueRequest, members: dict[str, Any]) -> IssueRequest:
    if unknown := sorted(members.keys() - MEMBERS):
        from jitid.config.settings import meant
        from jitid.values.text import quote

        names = tuple(sorted(MEMBERS))
        raise UsageError(
            f"unknown member {quote(unknown[0])}",
            meant(unknown[0], names) or f"the members are: {', '.join(names)}",
        )
    return merged(template, {name: _value(name, value) for name, value in members.items()})


def _value(name: str, value: object) -> Any:  # noqa: ANN401 - a value of the field's type
    field = RequestOptions.fields[name]
    assert field.type is not None
    if not field.many:
        if name == "ttl" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"its member `{name}` must be text that is not blank")
        return field.type.parse(value, name)
    if name == "scope" and isinstance(value, str):
        value = value.split()
    texts: list[Any] = value if isinstance(value, list) else [value]
    if name == "detail":
        texts = [strict_json.dumps(text) for text in texts]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"its member `{name}` must be a list of texts")
    return tuple([field.type.parse(text, name) for text in texts])


def _progress(cli: Invocation, issued_count: int, count: int | None, end: str = "") -> None:
    # If the lines go to the terminal, they show the progress themselves.
    if os.isatty(2) and not cli.quiet and not output.is_terminal():
        total = f" of {count}" if count is not None else ""
        os.write(2, f"\rjitid: issued {issued_count}{total}{end}".encode())
