"""The exit statuses of the command line, and the hierarchy of errors that leads to them."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from jitid.redaction.token_format import masked


class ExitStatus(IntEnum):
    """The exit statuses of a jitid process; a stable interface."""

    OK = 0
    """Done, or the requested state existed already."""
    BUG = 1
    """An internal error."""
    USAGE = 2
    """The command line, the configuration or the policy is invalid, or the ledger has a newer schema."""
    NOT_FOUND = 3
    DENIED = 4
    """The policy or a limit denies the request."""
    STORAGE = 5
    """No ledger, or it is busy, full or unreachable. Nothing was done, so a retry is safe, unless the error says
    that the outcome is unknown (`unsure`); see PARTIAL."""
    REFUSED = 6
    """The caller has no right to do this."""
    INTEGRITY = 7
    """A damaged ledger, audit chain or key; loose permissions; a clock that jumped."""
    INVALID = 8
    """The presented credential is not valid."""
    PARTIAL = 9
    """A part was done, and then an error came that alone would have its own status, such as STORAGE."""
    FINDINGS = 10
    """A sweep or a search found something of the requested severity."""
    INCOMPLETE = 11
    """No finding, but a part could not be examined."""
    OUTPUT = 74
    """The output could not be written. A secret in it is revoked."""
    TIMED_OUT = 124
    """`run`: the command reached its time limit. This and the higher statuses are those of `timeout` and `env`."""
    NOT_RUN = 125
    """`run`: refused, or failed before the command started."""
    CANNOT_EXECUTE = 126
    """`run`: the command exists but cannot be executed."""
    NO_COMMAND = 127
    """`run`: the command does not exist."""


class JitidError(Exception):
    """An error with a message for its reader, an optional hint, a stable code and one exit status.

    The message is lower case without a final period: the fault, and the state that is unchanged. The hint is the next
    step.
    """

    code = "error"
    exit_status = ExitStatus.BUG
    retryable = False
    unsure = False
    """Whether it is unknown if the requested change was made."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        # Every message passes here: it may contain a value of the caller, and a token must never be repeated.
        self.message = masked(message)
        super().__init__(self.message)
        self._hint: str | None = None
        self.hint = hint and masked(hint)
        self.position: int | None = None
        """The number of the failed request among several, counted from 0."""
        self.inward = False
        """Whether it reveals internal facts of a server, such as the place of the database, to be kept from callers."""

    @property
    def hint(self) -> str | None:
        """The next step. It is also a note of the exception, so that the traceback of a program shows it."""
        return self._hint

    @hint.setter
    def hint(self, hint: str | None) -> None:
        former, self._hint = self._hint, hint
        notes = [note for note in getattr(self, "__notes__", ()) if note != f"hint: {former}"]
        self.__notes__ = [*notes, f"hint: {hint}"] if hint else notes


class UsageError(JitidError):
    """An invalid command line, or an invalid argument of an operation."""

    code = "usage"
    exit_status = ExitStatus.USAGE


class ConfigurationError(JitidError):
    """An unusable configuration file, policy file or setting."""

    code = "configuration"
    exit_status = ExitStatus.USAGE


class NewerSchemaError(JitidError):
    """A ledger that a newer jitid has written; this version does not change it."""

    code = "newer_schema"
    exit_status = ExitStatus.USAGE


class NotFoundError(JitidError):
    """An unknown id, task, agent or key; or a selection that matches no records, live or ended."""

    code = "not_found"
    exit_status = ExitStatus.NOT_FOUND


class IncompleteError(JitidError):
    """An incomplete search: a part of the input was skipped, and the output covers the rest."""

    code = "incomplete"
    exit_status = ExitStatus.INCOMPLETE


class PolicyDeniedError(JitidError):
    """A policy decision other than Allow; the message names the rule that decided."""

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
        """The facts of the denial for the audit log: the caller, the request, and the rules that refused it."""
        self.about = about
        """The only excessive part of the request: `scope`, `audience` or `detail`; None if other parts were denied."""
        self.advice: Callable[[], str | None] | None = None
        """Finds a better hint. It may need a thousand policy decisions, so it is called when no lock is held."""

    def advise(self) -> None:
        """Find the hint, if that was postponed."""
        advice, self.advice = self.advice, None
        self.hint = (advice and advice()) or self.hint


class ApprovalNeededError(PolicyDeniedError):
    """A request that the policy permits after approval by others; the denial records the exact request."""

    code = "needs_approval"

    def __init__(
        self,
        message: str,
        hint: str | None,
        facts: Mapping[str, Any],
        *,
        exact: bytes,
        groups: tuple[str, ...],
        approval_rules: tuple[str, ...],
    ) -> None:
        super().__init__(message, hint, facts)
        self.exact = exact
        """The exact request, to which its approval is bound."""
        self.groups = groups
        """The groups that must approve, with one member each."""
        self.missing = groups
        """The groups that have not approved the first of `requests` yet."""
        self.approval_rules = approval_rules
        """The rules that require approval."""
        self.others: list[ApprovalNeededError] = []
        """The errors of other requests in the same batch."""
        self.requests: tuple[str, ...] = ()
        """The ids of the recorded requests for approval, this one first; empty before recording, and in a dry run."""


class StorageError(JitidError):
    """A ledger that is out of reach, busy, full or read-only; a retry may succeed."""

    code = "storage"
    exit_status = ExitStatus.STORAGE
    retryable = True


class BusyError(StorageError):
    """A ledger that others have locked; a retry helps."""


class ConflictError(BusyError):
    """A conflict with a concurrent change or an exclusive lock: the ledger is unchanged, and a retry is safe."""

    patience = 0.0
    """The seconds for which retries are worthwhile."""
    alone = False
    """Whether the retry must have the ledger to itself."""


class LostConnectionError(StorageError):
    """A connection to the ledger that was lost before anything was committed."""

    patience = 0.0
    """The seconds for which retries are worthwhile."""


class DiskError(StorageError):
    """A disk that did not confirm a write: everything that depends on the written data may be lost with it."""

    unsure = True


class RefusedError(JitidError):
    """A backend that does not serve this caller."""

    code = "refused"
    exit_status = ExitStatus.REFUSED


class ShownError(RefusedError):
    """Authentication with a token that was only presented to the caller, which gives it no right."""

    code = "shown"


class UnauthenticatedError(RefusedError):
    """A caller without authentication: it presents no credential, or an unknown or invalid one."""

    code = "unauthenticated"
    presented = False
    """Whether the caller presented an access token (RFC 6750, section 3.1)."""


class IntegrityError(JitidError):
    """An invalid state of a ledger, an audit chain, a key, a permission or the clock."""

    code = "integrity"
    exit_status = ExitStatus.INTEGRITY


class ClockError(IntegrityError):
    """A clock that cannot be trusted, so that no time can be checked with it."""


class DamagedError(IntegrityError):
    """A ledger file that cannot be read as a ledger."""


class InvalidCredentialError(JitidError):
    """An invalid credential: malformed, forged, expired, ended, unknown or for another party."""

    code = "invalid_credential"
    exit_status = ExitStatus.INVALID


class ExpiredError(InvalidCredentialError):
    """An expired credential; the hint states when it expired, and the next step (`times.expiry_hint`)."""


class PresenterError(InvalidCredentialError):
    """A token of another issuer that only another caller may present: the client in it, or its first presenter."""

    code = "wrong_presenter"
    exit_status = ExitStatus.REFUSED


class PartialError(JitidError):
    """Work that was done only in part; the output reports the rest."""

    code = "partial"
    exit_status = ExitStatus.PARTIAL


class NotRunError(JitidError):
    """A command that could not be started."""

    code = "not_run"
    exit_status = ExitStatus.NOT_RUN

    def __init__(self, message: str, hint: str | None, status: ExitStatus) -> None:
        super().__init__(message, hint)
        self.exit_status = status


class OutputError(JitidError):
    """Output that could not be written; a credential that was just made has been revoked."""

    code = "output"
    exit_status = ExitStatus.OUTPUT
    standard = False
    """Whether it was standard output that failed, and not a file."""
    outcome: str | None = None
    """The result of the changes that the command had made by then; also the hint, without another next step."""

    def add(self, outcome: str) -> None:
        """Record the result of the command's changes, unless it is recorded already."""
        self.outcome = self.outcome or self.hint or outcome
        self.hint = self.outcome
