"""The exit statuses of the command line, and the one hierarchy of errors that leads to them."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from jitid.redaction.token_format import masked


class ExitStatus(IntEnum):
    """What a process of jitid says by its exit status; a stable interface."""

    OK = 0
    BUG = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    STORAGE = 5
    REFUSED = 6
    INTEGRITY = 7
    INVALID = 8
    PARTIAL = 9
    FINDINGS = 10
    INCOMPLETE = 11
    OUTPUT = 74
    TIMED_OUT = 124
    """`run`: the command was ended at its last moment; this and what follows is as `timeout` and `env` have it."""
    NOT_RUN = 125
    """`run`: refused, or failed before the command started."""
    CANNOT_EXECUTE = 126
    """`run`: the command is there and cannot be executed."""
    NO_COMMAND = 127
    """`run`: there is no such command."""


class JitidError(Exception):
    """An error with a sentence for its reader, perhaps a hint, a stable code and one exit status.

    The message is lower case without a final period: what was wrong, and what is unchanged. The hint says what
    to do next.
    """

    code = "error"
    exit_status = ExitStatus.BUG
    retryable = False
    unsure = False
    """Whether what was requested was done is not known."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        # The one gate of all doors: a value of the caller may stand in either, and a token is never echoed.
        self.message = masked(message)
        self.hint = hint and masked(hint)
        super().__init__(self.message)
        self.position: int | None = None
        """Which of several requests it is about, counted from 0."""
        self.inward = False
        """It tells of the inside of whoever serves others, as where the database is: it is not for their callers."""


class UsageError(JitidError):
    """The command line or an operation's argument cannot be meant."""

    code = "usage"
    exit_status = ExitStatus.USAGE


class ConfigurationError(JitidError):
    """A configuration file, a policy file or a setting cannot be used."""

    code = "configuration"
    exit_status = ExitStatus.USAGE


class NewerSchemaError(JitidError):
    """The ledger was written by a newer jitid; this one does not touch it."""

    code = "newer_schema"
    exit_status = ExitStatus.USAGE


class NotFoundError(JitidError):
    """No such id, task, agent or key; or a selection that matches nothing, dead or alive."""

    code = "not_found"
    exit_status = ExitStatus.NOT_FOUND


class IncompleteError(JitidError):
    """A part of the input was not searched; the output covers the rest."""

    code = "incomplete"
    exit_status = ExitStatus.INCOMPLETE


class PolicyDeniedError(JitidError):
    """The policy decision was not Allow; the message names the rule that said so."""

    code = "policy_denied"
    exit_status = ExitStatus.DENIED

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        facts: Mapping[str, Any] | None = None,
        about: str | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.facts = dict(facts or {})
        """What the audit log keeps of the denial: who asked for what, and which rules refused it."""
        self.about = about
        """Of what there was too much, if that is all: `scope`, `audience` or `detail`."""
        self.advice: Callable[[], str | None] | None = None
        """Finds a better hint; it may ask the policy a thousand questions, and so is called when no lock is held."""

    def advise(self) -> None:
        """Find the hint, if that was left for later."""
        advice, self.advice = self.advice, None
        self.hint = (advice and advice()) or self.hint


class ApprovalNeededError(PolicyDeniedError):
    """The policy permits it as soon as others approve; what they must approve of is recorded with the denial."""

    code = "needs_approval"

    def __init__(
        self,
        message: str,
        hint: str | None,
        facts: Mapping[str, Any],
        *,
        exact: bytes,
        groups: tuple[str, ...],
        asking: tuple[str, ...],
    ) -> None:
        super().__init__(message, hint, facts)
        self.exact = exact
        """The exact request, as its approval is bound to it."""
        self.groups = groups
        """Somebody of each of these has to approve."""
        self.missing = groups
        """Those of them of whom nobody has yet, in the first of `requests`."""
        self.asking = asking
        """The rules that ask for it."""
        self.others: list[ApprovalNeededError] = []
        """Those of other requests that were made together with it."""
        self.requests: tuple[str, ...] = ()
        """The ids under which they are recorded, this one's first; none before that, and in a dry run."""


class StorageError(JitidError):
    """The ledger is out of reach, busy, full or read-only; trying again may help."""

    code = "storage"
    exit_status = ExitStatus.STORAGE
    retryable = True


class BusyError(StorageError):
    """Others hold the ledger; trying again helps."""


class ConflictError(BusyError):
    """Others changed the same at the same time, or shut it out: nothing of it is there, and it may be done again."""

    patience = 0.0
    """For how many seconds it is worth while to try again."""
    alone = False
    """Whether it must have the ledger to itself then."""


class LostConnectionError(StorageError):
    """The connection to the ledger was lost before anything was committed."""

    patience = 0.0
    """For how many seconds it is worth while to try again."""


class DiskError(StorageError):
    """The disk did not answer for what was written: whatever would be built on it may be lost with it."""

    unsure = True


class RefusedError(JitidError):
    """The backend does not serve this caller."""

    code = "refused"
    exit_status = ExitStatus.REFUSED


class ShownError(RefusedError):
    """The caller was merely shown the token by which it asks, which gives no right."""

    code = "shown"


class UnauthenticatedError(RefusedError):
    """The caller is not authenticated: it presents no credential, or one that is unknown or no longer valid."""

    code = "unauthenticated"
    presented = False
    """Whether the caller presented an access token (RFC 6750, section 3.1)."""


class IntegrityError(JitidError):
    """A ledger, an audit chain, a key, a permission or the clock is not as it must be."""

    code = "integrity"
    exit_status = ExitStatus.INTEGRITY


class ClockError(IntegrityError):
    """The clock is not to be believed, so that nothing can be judged by it."""


class DamagedError(IntegrityError):
    """The ledger's file cannot be read as one."""


class InvalidCredentialError(JitidError):
    """The credential is not valid: malformed, forged, expired, ended, unknown or meant for somebody else."""

    code = "invalid_credential"
    exit_status = ExitStatus.INVALID


class ExpiredError(InvalidCredentialError):
    """The credential has expired; the hint says when, and what comes next (`times.over`)."""


class PresenterError(InvalidCredentialError):
    """The token of another issuer counts for another caller: for the client that it names, or its first presenter."""

    code = "wrong_presenter"
    exit_status = ExitStatus.REFUSED


class PartialError(JitidError):
    """Some of the work was done; the output says what was not."""

    code = "partial"
    exit_status = ExitStatus.PARTIAL


class NotRunError(JitidError):
    """A command could not be started."""

    code = "not_run"
    exit_status = ExitStatus.NOT_RUN

    def __init__(self, message: str, hint: str | None, status: ExitStatus) -> None:
        super().__init__(message, hint)
        self.exit_status = status


class OutputError(JitidError):
    """The output could not be written; a credential just made has been revoked."""

    code = "output"
    exit_status = ExitStatus.OUTPUT
    standard = False
    """Standard output could not be written, and not a file."""
    outcome: str | None = None
    """What became of what the command had done by then; the hint too, where nothing else is the next thing to do."""

    def add(self, outcome: str) -> None:
        """Say what became of what the command had done, unless that is said already."""
        self.outcome = self.outcome or self.hint or outcome
        self.hint = self.outcome
