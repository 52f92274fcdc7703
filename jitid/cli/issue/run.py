"""`jitid run`: run a command with a separate identity that ends with the command."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jitid.authority.hand_out import hand_out
from jitid.authority.open import open_for_issue
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.run import child as children
from jitid.capabilities.run.child import Signals, watch
from jitid.capabilities.run.token_place import IDENTITY, RUN_SERVICE, STARTED_BY, TokenPlace, open_place
from jitid.cli.invocation import Invocation
from jitid.cli.issue.hold import Hold
from jitid.cli.issue.request_input import stated_request
from jitid.errors import ApprovalNeededError, ExitStatus, UsageError
from jitid.model.credential import USUAL_KINDS, named_kind
from jitid.model.process import RENEWS_NOTHING
from jitid.system import output, processes
from jitid.system import time_limit as bounds
from jitid.system.processes import this_process
from jitid.system.read_input import check_one_stdin
from jitid.values.names import MAX_NAME
from jitid.values.times import LATEST, format_duration, format_time, parse_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.issue import commands
    from jitid.cli.issue.run_secrets import SecretRequest, Secrets
    from jitid.model.credential import RequestedKind
    from jitid.model.federation import Federation
    from jitid.model.request import IssueRequest

_HELD = ("jwt", "opaque")
"""The kinds whose holder may obtain a further credential."""
_SHORTEST = 2
"""Shortest lifetime, in seconds, of a credential that can be renewed: the ledger counts whole seconds."""

CONSUMED = frozenset(
    {
        "JITID_DELEGATOR",
        "JITID_DELEGATOR_TOKEN_FILE",
        "JITID_AGENT",
        "JITID_SCOPE",
        "JITID_SECRET",
        "JITID_MAY_AUDIENCE",
        "JITID_MAY_KIND",
    }
)
"""Variables that described this identity. They must not describe the identities that the command requests."""

_PLACES = frozenset({"JITID_LEDGER", "JITID_REMOTE", "JITID_REMOTE_CA", "JITID_REMOTE_CREDENTIAL_FILE"})
"""Variables that name a ledger or an authority and its credential. The command has a separate credential."""


def run(cli: Invocation, args: commands.RunCommand) -> None:
    """Perform `jitid run`."""
    _check(cli, args)
    secrets = _secrets(args.secret)
    check_one_stdin(args.parent_file, args.delegator_token_file)
    program = processes.find_program(args.command[0], os.environ.get("PATH", os.defpath))
    request, proof = stated_request(cli, args, usual_agent=_agent_of(args.command[0]), identity=True)
    services = request.audiences or cli.config().many("audience")
    federations = _federations(cli, args.for_)
    request = _run_request(args, request, services, secrets)
    if federations:
        # The identity must grant the audiences of its tokens for the vendors.
        request = request._replace(audiences=tuple(dict.fromkeys((*services, *map(_audience, federations)))))
    operation = Issue(requests=(request,), delegator_token=proof, accept_clock=cli.accept_clock)
    token_place = open_place(args.file, IDENTITY) if services or federations else open_place(args.file)
    if services or secrets:
        from jitid.cli.issue import run_secrets

        secrets = run_secrets.of_services(secrets, services)
        secrets += run_secrets.services(services, request.kind, args.may_act, token_place)
    if federations:
        from jitid.cli.issue import run_secrets

        secrets += run_secrets.vendors(federations, token_place)
    keep = args.on_exit == "keep"
    processes.name_as_run()
    started = _Start(cli, args, program, token_place, secrets)
    try:
        authority = open_for_issue(cli.config(), operation, cli.note)
        try:
            (issued,) = authority.perform(operation)
        except ApprovalNeededError as denial:
            from jitid.cli.issue import approve_verbs

            authority, (issued,) = approve_verbs.approved(cli, authority, denial, operation, args.wait)
        hand_out(
            authority,
            [issued],
            lambda: started.start(issued, request),
            warn=cli.warn,
            command=cli.command,
        )
        # The authority stays open: closing the last connection to a ledger waits for a checkpoint. Later steps open the
        # ledger again, since it may have been replaced. The time limit covers the start only, not the command.
        bounds.lift()
        cli.status = _watched(cli, started, args.grace, keep=keep)
    finally:
        started.close(keep=keep)
        token_place.close(keep=keep)
    if started.child.killed_by == signal.SIGINT:
        # A shell ends its loop only if it sees that this process, too, was ended by the key.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)


def _run_request(
    args: commands.RunCommand,
    request: IssueRequest,
    services: tuple[str, ...],
    secrets: Sequence[SecretRequest],
) -> IssueRequest:
    """Return the request for the identity of the command. Raises UsageError for options that a run cannot have."""
    actors = args.may_act
    if actors and not services:
        raise UsageError(
            "--may-act requires --audience", "name the service that may exchange the token: --audience AUD"
        )
    if request.kind not in _HELD:
        raise UsageError(
            f"`run` supports --kind jwt and opaque only, not {request.kind}",
            f"to add one of this kind: --secret NAME={request.kind}",
        )
    if request.ttl is not None and request.ttl < _SHORTEST and args.env is None:
        raise UsageError(
            f"a lifetime of {format_duration(request.ttl)} is too short to be renewed in time",
            "such as --ttl 1m",
        )
    # A token in a variable cannot be replaced.
    renews_until = (
        RENEWS_NOTHING if args.env is not None else _end_of_parent(args.parent_file, os.environ) or LATEST
    )
    request = request._replace(
        # The tokens for services name the callers; the identity is not exchanged.
        may_act=(),
        process=this_process(kept=args.on_exit == "keep", renews_until=renews_until),
        may_kind=_obtainable(request, secrets),
    )
    if actors:
        # The identity must grant the audiences that its tokens let other services reach.
        reached = (*services, *(name for actor in actors for name in actor.audiences))
        request = request._replace(may_audience=tuple(dict.fromkeys((*request.may_audience, *reached))))
    return request


def _watched(cli: Invocation, started: _Start, grace: int, *, keep: bool) -> int:
    """Watch the command until it ends, revoke its credentials, and return its status."""
    hold = started.hold
    status = int(ExitStatus.BUG)
    try:
        status = watch(
            started.child,
            started.signals,
            hold.clock,
            until=hold.until,
            grace=grace,
            due=started.renew_when_due,
            report=cli.warn,
        )
        if status == ExitStatus.TIMED_OUT and hold.clock() >= hold.until:
            cli.warn(f"the command was stopped at its time limit, {format_time(hold.until)}")
    finally:
        if not keep:
            hold.end(status)
            started.settle()
    return status


class _Start:
    """The start of a command, and its credentials."""

    signals: Signals
    child: children.Child
    hold: Hold
    secrets: Secrets | None = None

    def __init__(
        self,
        cli: Invocation,
        args: commands.RunCommand,
        program: str,
        token_place: TokenPlace,
        secret_requests: Sequence[SecretRequest],
    ) -> None:
        self._cli = cli
        self._args = args
        self._program = program
        self._place = token_place
        self._secret_requests = secret_requests

    def start(self, issued: Issued, request: IssueRequest) -> None:
        """Start the command with its issued credential. Raises NotRunError, OutputError and StorageError."""
        self.hold = Hold(
            self._cli,
            issued,
            self._place,
            ttl=self._cli.config().number("ttl") if request.ttl is None else request.ttl,
            allow_narrower=request.allow_narrower,
            until=_end_of_parent(self._args.parent_file, os.environ),
            # A token in a variable cannot be replaced, and a successor would end it.
            renewed=self._args.env is None,
            left=max([request.left for request in self._secret_requests], default=0),
        )
        _report(self._cli, issued, self._args.env)
        # The tokens of --for are for vendors, by their own variables.
        if not self._args.for_ and not any(
            secret_request.is_for_service for secret_request in self._secret_requests
        ):
            self._cli.note(
                "$JITID_TOKEN_FILE is an identity token, for jitid only; for a service token use --audience"
            )
        self._place.put(self.hold.token)
        hidden = CONSUMED | _PLACES | self._obtained(request)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in hidden and not name.startswith(RUN_SERVICE)
        }
        environment |= self._surroundings() | self.hold.environment()
        if self.secrets is not None:
            environment |= self.secrets.environment()
        if self._args.env is not None:
            service_token = None if self.secrets is None else self.secrets.shown()
            environment[self._args.env] = service_token or self.hold.token
        # A reader of standard error that has stopped reading must not delay signals to the command.
        output.be_quick()
        self.signals = Signals()
        self.child = children.start(self._program, self._args.command, environment, self.signals.before)

    def renew_when_due(self, now: float) -> float:
        """Renew all credentials of the command that are due, and return the time of the next action."""
        next_time = self.hold.renew_when_due(now)
        if self.secrets is None:
            return next_time
        return min(next_time, self.secrets.renew_when_due(now, self.hold.secret, self.hold.until))

    def settle(self) -> None:
        """End renewed secrets at their targets, after the identity has ended."""
        if self.secrets is not None:
            self.secrets.settle(self.hold.id)

    def close(self, *, keep: bool) -> None:
        """Remove the secrets from the places of the command; `keep` leaves tokens that can stay."""
        if self.secrets is not None:
            self.secrets.close(keep=keep)

    def _obtained(self, request: IssueRequest) -> frozenset[str]:
        """Obtain the secrets, all or none. Return the variables that programs would use instead of the secrets.

        Raises the error of the first secret that fails. The others then end with the identity.
        """
        if not self._secret_requests:
            return frozenset()
        # The import slows the start, and most runs have no secrets.
        from jitid.cli.issue.run_secrets import Secrets

        self.secrets = Secrets(
            self._cli, self._secret_requests, ttl=request.ttl, allow_narrower=request.allow_narrower
        )
        self.secrets.obtain(self.hold.secret, self.hold.until)
        self.secrets.lead_vendors(self.hold.issued)
        return self.secrets.hidden()

    def _surroundings(self) -> dict[str, str]:
        """Return the variables with which a `jitid` inside finds the same ledger and settings, in any folder."""
        config = self._cli.config()
        if config.remote is not None:
            variables = {"JITID_REMOTE": config.remote}
            if (authorities := config.text("remote_ca")) is not None:
                variables["JITID_REMOTE_CA"] = authorities
            from jitid.authority.remote import is_of_run  # costs start-up with a local ledger

            if not is_of_run(config):
                # Within another run, the variable already names the user who started that run.
                variables[STARTED_BY] = str(os.geteuid())
        else:
            variables = {"JITID_LEDGER": config.ledger}
        if self._cli.config_file is not None:
            variables["JITID_CONFIG"] = config.path
        if self._cli.profile is not None:
            variables["JITID_PROFILE"] = self._cli.profile
        return variables


def _check(cli: Invocation, args: commands.RunCommand) -> None:
    """Raise UsageError for options that contradict each other, before any credential is issued."""
    if cli.field:
        raise UsageError("`run` has no output, so --field is invalid")
    if args.env is not None and args.file is not None:
        raise UsageError(
            "--env and --file exclude each other",
            "a token in a variable is not renewed; a token file is",
        )
    if args.for_ and args.env is not None:
        raise UsageError(
            "--for and --env exclude each other", "a token in a variable is not renewed; a token file is"
        )
    if args.for_ and args.on_exit == "keep":
        raise UsageError(
            "--for and --on-exit keep exclude each other", "the files for a vendor end with the run"
        )
    if (shared := next((str(kind) for _, (kind, _) in args.secret if kind == "aws-sts"), None)) and args.for_:
        from jitid.model.federation import find

        if any(find(name, cli.config().federations).vendor_name == "aws" for name in args.for_):
            raise UsageError(
                f"--for aws and --secret of the kind {shared} use the same variables", "use one of them"
            )
    if args.secret and args.on_exit == "keep":
        raise UsageError(
            "--secret and --on-exit keep exclude each other",
            "secrets of a run are always revoked at its end",
        )


def _federations(cli: Invocation, names: Sequence[str]) -> list[Federation]:
    """Return the federations of a run. Raises UsageError for an unknown name and for a missing setting."""
    if not names:
        return []
    from jitid.capabilities.run.delivery import vendors
    from jitid.model.federation import find

    federations = {name: find(name, cli.config().federations) for name in names}
    vendors.check(federations)
    for federation in federations.values():
        # Before anything is issued: a task that was opened could not be removed any more.
        if cli.config().remote is None and (refused := cli.config().subject_refused(_audience(federation))):
            raise refused
    return list(federations.values())


def _audience(federation: Federation) -> str:
    """Return the audience of the tokens of a federation without a missing setting."""
    assert federation.audience is not None
    return federation.audience


def _obtainable(request: IssueRequest, secrets: Sequence[SecretRequest]) -> tuple[str, ...]:
    """Return the kinds that the identity of the command may obtain, including the kinds of its secrets."""
    needed = [named_kind(secret.kind, secret.template) for secret in secrets]
    if all(kind in USUAL_KINDS for kind in needed) and not request.may_kind:
        return ()
    # A parent or an agent's record may permit only some of the usual kinds, so a run states the kinds that it needs.
    return tuple(dict.fromkeys((*(request.may_kind or (request.kind,)), *needed)))


def _secrets(stated: Sequence[tuple[str, RequestedKind]]) -> list[SecretRequest]:
    """Return the requested secrets. Raises UsageError if two have one name."""
    if not stated:
        return []
    from jitid.cli.issue.run_secrets import named_secrets

    return named_secrets(stated)


def _agent_of(program: str) -> str:
    """Return a program's name as the name of an agent."""
    name = os.path.basename(program) or "agent"
    agent_name = "".join(
        [
            character if character.isascii() and (character.isalnum() or character in "._@:+-") else "-"
            for character in name
        ]
    )
    return agent_name[:MAX_NAME]


def _end_of_parent(parent_file: str | None, environ: Mapping[str, str]) -> int | None:
    """Return the end of the surrounding `run` if the parent file is that run's token; otherwise None."""
    if parent_file is None or parent_file != environ.get("JITID_PARENT_FILE"):
        return None
    try:
        return parse_time(environ.get("JITID_EXPIRES_AT", ""))
    except UsageError:
        return None


def _report(cli: Invocation, issued: Issued, variable: str | None) -> None:
    for note in issued.notes:
        cli.note(note)
    if variable is not None:
        cli.note(
            f"the token in ${variable} is not renewed: token and command end at {format_time(issued.expires_at)}"
        )
    if not children.dies_with_parent():
        cli.note("on this system the command continues if jitid itself is killed")
