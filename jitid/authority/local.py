"""The authority in this process: it dispatches each operation to the module that performs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from jitid.errors import (
    InvalidCredentialError,
    JitidError,
    ShownError,
)
from jitid.keys.keyring import Keyring
from jitid.ledger import contract
from jitid.model.ledger_rows import Names
from jitid.operation import base as ops
from jitid.operation.base import performer

if TYPE_CHECKING:
    from jitid.authority.served import ReadTally, ServingAuthority
    from jitid.capabilities.trust.own_issuer import Naming
    from jitid.issuers.targets import Targets
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.model.access import Caller, OidcIssuer
    from jitid.operation.context import Context, Made, Terms
    from jitid.values.secret import Secret


class LocalAuthority:
    """An authority over a ledger and a keyring that this process holds.

    The modules that an operation needs are loaded at its first use.
    """

    def __init__(
        self,
        ledger: Ledger,
        keyring: Keyring,
        *,
        terms: Callable[[], Terms],
        audiences: Sequence[str] = (),
        oidc: Callable[[], Sequence[OidcIssuer]] = tuple,
        timeout: float = 30.0,
        caller: Caller | None = None,
        targets: Callable[[], Targets] | None = None,
        accepts_clock: bool = False,
    ) -> None:
        """Store the parts. Suppliers are called at first use, since policy and issuers are slow to read.

        `audiences` are the default audiences of `verify` (empty: the ledger's issuer). `timeout`, in seconds, limits
        requests to issuers of ID tokens. `caller` is the caller that it serves, if any. `targets` supplies the targets
        of the configuration; None if it has none. `accepts_clock` states that the ledger already accepts the clock.
        """
        self._ledger = ledger
        self._keyring = keyring
        self._read_terms = terms
        self._terms: Terms | None = None
        self._audiences = tuple(audiences)
        self._oidc = oidc
        self._timeout = timeout
        self._caller = caller
        self._targets = targets
        self._accepts_clock = accepts_clock
        self._request: ops.Operation[Any] | None = None
        self.places: tuple[str, ...] = ()
        """The addresses at which the authority is served."""
        self.tally: ReadTally | None = None
        """Counts of the callers' reads and refusals; authorities of one process may share it."""

    @property
    def names(self) -> Names:
        """The names of the ledger and its issuer, as last read; `names_now` reads them again."""
        return self._ledger.names

    def names_now(self) -> Names:
        """Return the current names of the ledger: another process may have changed its issuer."""
        with self._ledger.glance() as snapshot:
            return snapshot.names

    def admitted(self, caller: Caller) -> Caller:
        """Return a caller without a credential, such as one over a socket, unless the caller is disabled.

        Raises:
            RefusedError: the caller is disabled.

        """
        from jitid.capabilities.access.authenticate import must_hold

        with self._ledger.read() as snapshot:
            must_hold(snapshot, caller)
        return caller

    def serving(self, caller: Caller, *, counted: bool = True) -> ServingAuthority:
        """Return this authority as it serves `caller`.

        It refuses operations beyond the caller's roles, and its audit events name the caller. With `counted`, the
        audit log gets the counts of the caller's reads.
        """
        from jitid.authority.served import ReadTally, ServingAuthority
        from jitid.ledger.wrapped import ActingLedger

        tally = self.tally or ReadTally()
        if counted:
            self.tally = tally
        # Over a socket the name is a login, which may delegate under another name.
        acts_as = None if caller.delegator in (None, caller.name) else caller.delegator
        facts = {
            "by_id": caller.identity,
            "trace": caller.trace,
            "bearer": caller.credential,
            "acts_as": acts_as,
        }
        acting = ActingLedger(self._ledger, caller.name, facts)
        return ServingAuthority(self._on(acting, caller), acting, caller, tally)

    def authenticate_holder(self, token: Secret, operation: ops.Operation[Any]) -> Caller:
        """Return the agent that holds a token and requests an operation.

        A denial is recorded if the operation would change something.

        Raises:
            IntegrityError: the ledger is sealed.
            InvalidCredentialError: the token is not valid; the message gives the reason.
            ShownError: the token is for services.

        """
        from jitid.capabilities.access import authenticate

        try:
            with self._ledger.read() as snapshot:
                return authenticate.authenticate_holder(snapshot, snapshot.names, token)
        except (InvalidCredentialError, ShownError) as denial:
            if not operation.is_reading:
                from jitid.capabilities.identity.record_denial import record_denial

                facts = operation.facts_if_denied()
                record_denial(self._ledger, lambda: self._agreed, denial, facts, accept_clock=False)
            raise

    def record_accepted_clock(self) -> None:
        """Accept the current clock, and record it if the clock has jumped."""
        with self._ledger.write(accept_clock=True):
            pass

    def perform(self, operation: ops.Operation[ops.Result]) -> ops.Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails."""
        if getattr(operation, "accept_clock", False) and not self._accepts_clock:
            return self.with_clock_accepted().perform(operation)
        self._request = operation
        if self._caller is None and operation.names_task():
            from jitid.capabilities.inventory.task_sharing import resolved

            operation = resolved(self._ledger.read, operation)
        return cast("ops.Result", performer(type(operation))(self._context, operation))

    def with_clock_accepted(self, *, owns: bool = False) -> LocalAuthority:
        """Return this authority over a ledger whose writes accept the clock. Reads judge by the time mark.

        By default, reads refuse a clock far behind the time mark, and operations read before they write. With `owns`,
        closing it closes the ledger.
        """
        from jitid.ledger.wrapped import AcceptingLedger

        return self._on(AcceptingLedger(self._ledger, owns=owns), accepts_clock=True)

    def look_at_names(self, issuer: str | None = None) -> Naming:
        """Return the names of the issuer and its live credentials.

        Raises UsageError if `issuer` is not available as its next name.
        """
        from jitid.capabilities.trust import own_issuer

        return own_issuer.look(self._ledger, issuer)

    def set_issuer(self, issuer: str, *, accept_clock: bool) -> Naming:
        """Rename the issuer. Raises UsageError if it has that name already, or a service has it."""
        from jitid.capabilities.trust import own_issuer

        return own_issuer.set_issuer(self._ledger, issuer, accept_clock=accept_clock)

    @contextmanager
    def in_one_view(self) -> Iterator[LocalAuthority]:
        """Yield this authority for one request: all reads of the request use the same view of the ledger."""
        from jitid.ledger.wrapped import OneViewLedger

        ledger = OneViewLedger(self._ledger)
        try:
            yield self._on(ledger)
        finally:
            ledger.close()

    def _on(
        self, ledger: Ledger, caller: Caller | None = None, *, accepts_clock: bool = False
    ) -> LocalAuthority:
        """Return this authority over another form of its ledger; with `caller`, as it serves this caller."""
        authority = LocalAuthority(
            ledger,
            self._keyring,
            terms=lambda: self._agreed if caller is None else self._agreed.serving(caller),
            audiences=self._audiences,
            oidc=self._oidc,
            timeout=self._timeout,
            caller=caller or self._caller,
            targets=self._targets,
            accepts_clock=accepts_clock,
        )
        authority.tally = self.tally
        return authority

    def check_issuing(self) -> None:
        """Check that the authority can issue now: the policy is valid, and the signing key of the ledger is here.

        Raises:
            ConfigurationError: the policy cannot be used.
            IntegrityError: the key is missing, damaged, or open to others.
            StorageError: the ledger does not answer.

        """
        from jitid.capabilities.trust.signing import current_key_of

        with self._ledger.read() as snapshot:
            contract.refuse_if_sealed(snapshot)
            key = current_key_of(snapshot, self._keyring, "EdDSA")
        if key is not None:
            self._keyring.load(key.kid, key.algorithm, key.public, key.use)
        _ = self._agreed

    def record_counts(self) -> None:
        """Write the counts of reads and refusals to the audit log if they are due."""
        if self.tally is not None and self.tally.due:
            self.tally.record(self._ledger)

    def close(self) -> None:
        """Release the ledger."""
        if self.tally is not None:
            with suppress(JitidError):
                self.tally.record(self._ledger)
        self._ledger.close()

    @property
    def _context(self) -> Context:
        from jitid.operation.context import Context

        # Not an attribute: it refers to the authority, and the two would keep each other in memory.
        return Context(
            self._ledger,
            self._keyring,
            lambda: self._agreed,
            self._audiences,
            self._oidc,
            self._timeout,
            self._caller,
            self._targets,
            self._prove,
            self._once,
            self._has_role,
        )

    @property
    def _agreed(self) -> Terms:
        if self._terms is None:
            terms = self._read_terms()
            self._terms = terms._replace(places=(*terms.places, *self.places)) if self.places else terms
        return self._terms

    def _has_role(self, kind: type[ops.Operation[Any]]) -> bool:
        from jitid.authority.guard import has_role

        return has_role(self._caller, kind)

    def _once(
        self,
        make: Callable[[Transaction], Made],
        kind: str,
        ids: Callable[[Made], tuple[bytes, bytes]],
        *,
        accept_clock: bool,
        shared: bool = False,
        remake: Callable[[Transaction], Made] | None = None,
    ) -> Made:
        from jitid.authority.repeat import once

        return once(
            self._ledger,
            self._caller,
            self._request,
            make,
            kind,
            ids,
            accept_clock=accept_clock,
            shared=shared,
            remake=remake,
        )

    def _prove(self) -> str | None:
        from jitid.authority.settle_at_targets import prove

        return prove(self._ledger)
