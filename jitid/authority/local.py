"""The authority in this process: it takes each operation to the layers below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, assert_never, cast

from jitid.capabilities.audit import operations as audit_operations
from jitid.capabilities.decisions import operations as decisions_operations
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory.own_tasks import gives_freely, resolved
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.report import operations as report_operations
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.capabilities.trust import operations as trust_operations
from jitid.errors import (
    ApprovalNeededError,
    InvalidCredentialError,
    JitidError,
    NotFoundError,
    PolicyDeniedError,
    ShownError,
)
from jitid.keys.keyring import Keyring
from jitid.ledger import policies, seal
from jitid.ledger.retry import change
from jitid.model.credential import is_outside
from jitid.model.ledger_rows import Names, Selection
from jitid.operation import base as ops
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.authority.all_operations import AnyOperation
    from jitid.authority.read_counts import ReadTally
    from jitid.authority.served import ServingAuthority
    from jitid.capabilities.access.presented_store import Presentation
    from jitid.capabilities.identity.hand_back import HandedBack
    from jitid.capabilities.identity.revocation import Ended
    from jitid.capabilities.issue.actors import Actor
    from jitid.capabilities.issue.issuance import ForeseenIssues, Issued
    from jitid.capabilities.trust.own_issuer import Naming
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.issuers.targets import Targets
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.caller import Caller
    from jitid.model.oidc_issuer import OidcIssuer
    from jitid.model.request import IssueRequest
    from jitid.operation.context import Inside
    from jitid.operation.terms import Terms
    from jitid.values.secret import Secret


class LocalAuthority:
    """Performs operations on a ledger and a keyring that this process holds.

    What an operation needs is loaded when it comes.
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
        """Args are suppliers where having the thing costs time: policy and issuers are read when first used.

        `audiences` are those that `verify` expects unless told otherwise (none: the ledger's issuer); `timeout`, in
        seconds, bounds what is fetched from issuers of ID tokens. `caller` is whom it serves, if it serves somebody.
        `targets` are those of the configuration; None where there is none. `accepts_clock` says that the ledger
        accepts the clock already.
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
        self._asked: ops.Operation[Any] | None = None
        self.places: tuple[str, ...] = ()
        """The addresses at which it is served."""
        self.tally: ReadTally | None = None
        """What those who are served read and were refused; authorities of one process may share it."""

    @property
    def names(self) -> Names:
        """What the ledger is called, and whose issuer it is, as far as is known: `names_now` looks."""
        return self._ledger.names

    def names_now(self) -> Names:
        """Return what the ledger is called now: somebody else may have changed its issuer."""
        with self._ledger.glance() as snapshot:
            return snapshot.names

    def admitted(self, caller: Caller) -> Caller:
        """Return a caller without a credential, such as one over a socket, unless they are disabled.

        Raises:
            RefusedError: they are.

        """
        from jitid.capabilities.access.grant import must_hold

        with self._ledger.read() as snapshot:
            must_hold(snapshot, caller)
        return caller

    def serving(self, caller: Caller, *, counted: bool = True) -> ServingAuthority:
        """Return the same authority as it serves somebody.

        It refuses what their roles do not allow, and every event that it writes is by them. With `counted`, the audit
        log gets the numbers of what they look at.
        """
        from jitid.authority.read_counts import ReadTally
        from jitid.authority.served import ServingAuthority
        from jitid.ledger.attribution import ActingLedger

        tally = self.tally or ReadTally()
        if counted:
            self.tally = tally
        # Over a socket the name is a login, which may delegate as somebody else.
        acts_as = None if caller.delegator in (None, caller.name) else caller.delegator
        facts = {
            "by_id": caller.identity,
            "trace": caller.trace,
            "bearer": caller.credential,
            "acts_as": acts_as,
        }
        acting = ActingLedger(self._ledger, caller.name, facts)
        within = LocalAuthority(
            acting,
            self._keyring,
            terms=lambda: self._agreed.serving(caller),
            audiences=self._audiences,
            oidc=self._oidc,
            timeout=self._timeout,
            caller=caller,
            targets=self._targets,
        )
        return ServingAuthority(within, acting, caller, tally)

    def holder(self, token: Secret, operation: ops.Operation[Any]) -> Caller:
        """Return the agent that holds a token, and asks by it for an operation.

        That it may not is recorded where the operation would change something.

        Raises:
            IntegrityError: the ledger is sealed.
            InvalidCredentialError: it is not valid; the message says why.
            ShownError: it is for services.

        """
        from jitid.authority import guard
        from jitid.capabilities.access import grant

        try:
            with self._ledger.read() as snapshot:
                return grant.holder(snapshot, snapshot.names, token)
        except (InvalidCredentialError, ShownError) as denial:
            if not guard.reads(operation):
                self._record_denial(denial, _told(operation), accept_clock=False)
            raise

    def accept_clock(self) -> None:
        """Accept the clock as it is, and record that if it has jumped."""
        with self._ledger.write(accept_clock=True):
            pass

    def perform(self, operation: ops.Operation[ops.Result]) -> ops.Result:
        """Perform an operation and return its answer, or raise a `JitidError` that says why not."""
        if getattr(operation, "accept_clock", False) and not self._accepts_clock:
            return self.accepting().perform(operation)
        self._asked = operation
        if self._caller is None:
            operation = resolved(self._ledger.read, operation)
        return cast("ops.Result", self._perform(cast("AnyOperation", operation)))

    def accepting(self, *, owns: bool = False) -> LocalAuthority:
        """Return the same authority with a clock that is accepted: by whatever writes, and by no look.

        Looks refuse a clock that is far behind the time mark, and operations look before they write. With `owns`,
        closing it closes the ledger.
        """
        from jitid.ledger.accept_clock import AcceptingLedger

        return self._on(AcceptingLedger(self._ledger, owns=owns), accepts_clock=True)

    def look_at_names(self, issuer: str | None = None) -> Naming:
        """Return the names of the issuer, and what lives under them. Raises UsageError if it cannot get the name."""
        from jitid.capabilities.trust import own_issuer

        return own_issuer.look(self._ledger, issuer)

    def set_issuer(self, issuer: str, *, accept_clock: bool) -> Naming:
        """Give the issuer another name. Raises UsageError if that is its name, or one of a service."""
        from jitid.capabilities.trust import own_issuer

        return own_issuer.set_issuer(self._ledger, issuer, accept_clock=accept_clock)

    @contextmanager
    def in_one_view(self) -> Iterator[LocalAuthority]:
        """Yield the same authority, for one request: whatever is read for it comes out of one view of the ledger."""
        from jitid.ledger.one_view import OneViewLedger

        ledger = OneViewLedger(self._ledger)
        try:
            yield self._on(ledger)
        finally:
            ledger.close()

    def _on(self, ledger: Ledger, *, accepts_clock: bool = False) -> LocalAuthority:
        """Return the same authority on another form of its ledger."""
        within = LocalAuthority(
            ledger,
            self._keyring,
            terms=lambda: self._agreed,
            audiences=self._audiences,
            oidc=self._oidc,
            timeout=self._timeout,
            caller=self._caller,
            targets=self._targets,
            accepts_clock=accepts_clock,
        )
        within.tally = self.tally
        return within

    def check_issuing(self) -> None:
        """Check that it could issue now: the policy is in order, and a key that signs for the ledger is here.

        Raises:
            ConfigurationError: the policy cannot be used.
            IntegrityError: the key is missing, damaged, or open to others.
            StorageError: the ledger does not answer.

        """
        from jitid.capabilities.trust.signing import current_key_of

        with self._ledger.read() as snapshot:
            seal.must_not_be(snapshot)
            key = current_key_of(snapshot, self._keyring, "EdDSA")
        if key is not None:
            self._keyring.load(key.kid, key.algorithm, key.public)
        _ = self._agreed

    def tell_counts(self) -> None:
        """Write to the audit log what those who are served read and were refused, if it is time to."""
        if self.tally is not None and self.tally.due:
            self.tally.tell(self._ledger)

    def close(self) -> None:
        """Release the ledger."""
        if self.tally is not None:
            with suppress(JitidError):
                self.tally.tell(self._ledger)
        self._ledger.close()

    def _perform(self, operation: AnyOperation) -> object:
        match operation:
            case issue_operations.Issue():
                return self._issue(operation)
            case issue_operations.Renew():
                return self._renew(operation)
            case issue_operations.AbandonRenewal() | issue_operations.AbandonAttachment():
                self._abandon(operation)
                return None
            case identity_operations.Verify():
                return self._verify(operation)
            case identity_operations.Revoke():
                return self._revoke(operation)
            case identity_operations.HandBack():
                return self._hand_back(operation)
            case inventory_operations.Retire():
                return self._retire(operation)
            case inventory_operations.ShareTask() | inventory_operations.GiveTask():
                return self._share(operation)
            case trust_operations.RotateKey() | trust_operations.RevokeKey():
                return self._change_keys(operation)
            case integrity_operations.Examine():
                from jitid.capabilities.integrity import examination

                return examination.examine(self._ledger, self._keyring, operation.stated, operation.head)
            case leak_operations.Trace():
                from jitid.capabilities.leak import trace_strings

                with self._ledger.read() as snapshot:
                    return trace_strings.trace(snapshot, self._ledger.names, operation.finds)
            case sweep_operations.Sweep() | sweep_operations.ForeseeFix() | sweep_operations.Fix():
                from jitid.capabilities.sweep.perform import perform

                return perform(self._inside, operation)
            case leak_operations.AddLeaks() | leak_operations.CloseLeaks() | leak_operations.ProveLeaks():
                return self._change_leaks(operation)
            case integrity_operations.Prune():
                from jitid.capabilities.integrity import retention

                return retention.prune(
                    self._ledger,
                    rows_after=operation.rows_after,
                    leaks_after=operation.leaks_after,
                    seconds=operation.seconds,
                    dry_run=operation.dry_run,
                    accept_clock=operation.accept_clock,
                )
            case integrity_operations.CutLog():
                from jitid.capabilities.integrity import cut

                return cut.cut(
                    self._ledger,
                    self._keyring,
                    evidence_after=operation.evidence_after,
                    folder=operation.folder,
                    dry_run=operation.dry_run,
                    accept_clock=operation.accept_clock,
                )
            case integrity_operations.ExportLog():
                from jitid.capabilities.integrity.perform import export_log

                return export_log(self._ledger, self._keyring)
            case report_operations.MakeReport():
                from jitid.capabilities.report.perform import make

                return make(self._ledger, operation)
            case ops.ApprovalOperation():
                from jitid.capabilities.issue import approval_perform

                return approval_perform.perform(self._inside, operation)
            case ops.PublicationOperation():
                from jitid.capabilities.trust import publication_perform

                return publication_perform.perform(self._inside, operation)
            case decisions_operations.SuggestPolicy() | ops.PolicyOperation():
                from jitid.capabilities.decisions import perform as decisions_perform

                return decisions_perform.perform(self._inside, operation)
            case ops.DirectoryOperation():
                from jitid.capabilities.directory import perform as directory_perform

                return directory_perform.perform(self._inside, operation)
            case ops.UseOperation():
                from jitid.capabilities.use import perform as use_perform

                return use_perform.perform(self._inside, operation)
            case ops.AccessOperation():
                from jitid.capabilities.access import perform as access_perform

                return access_perform.perform(self._inside, operation)
            case ops.CertificateOperation():
                from jitid.capabilities.trust import certificate_perform

                return certificate_perform.perform(self._inside, operation)
            case issue_operations.Attach():
                from jitid.capabilities.issue import perform as issue_perform

                return issue_perform.attach_to(self._inside, operation)
            case sweep_operations.FlyCanaries(targets=chosen, limit=limit):
                from jitid.capabilities.sweep import canaries
                from jitid.capabilities.targets.perform import targets_of

                return list(canaries.fly(self._inside, targets_of(self._inside), chosen, limit))
            case ops.TargetOperation():
                from jitid.capabilities.targets import perform as targets_perform

                return targets_perform.perform(self._inside, operation)
            case ops.AdoptionOperation():
                from jitid.capabilities.adopt.operations import AdoptedShapes

                if isinstance(operation, AdoptedShapes):
                    # Each search of a long text asks this: what performs the others takes longer to load.
                    from jitid.capabilities.adopt.shape_perform import shapes

                    with self._ledger.read() as snapshot:
                        return shapes(snapshot)
                from jitid.capabilities.adopt import perform as adopt_perform

                return adopt_perform.perform(self._inside, operation)
            case ops.TokenOperation():
                from jitid.capabilities.issue import token_perform

                return exchange.perform(self._inside, operation, self._issue_to, self._deny)
            case _:
                return self._look(operation)

    def _look(
        self,
        operation: inventory_operations.Inspect
        | leak_operations.ListLeaks
        | leak_operations.ShowLeaks
        | leak_operations.RecountLeaks
        | inventory_operations.ListCredentials
        | inventory_operations.ShowTree
        | inventory_operations.ListTasks
        | inventory_operations.ShowTask
        | audit_operations.ReadLog
        | audit_operations.SignHead
        | integrity_operations.VerifyLog
        | audit_operations.FollowLog
        | trust_operations.ListKeys
        | trust_operations.PublishKeys
        | trust_operations.PublishSshAuthorities
        | trust_operations.PublishSshRevocations,
    ) -> object:
        from jitid.capabilities.integrity import perform as integrity_perform
        from jitid.capabilities.inventory import perform as inventory_perform
        from jitid.capabilities.leak import perform as leak_perform
        from jitid.capabilities.trust import perform as trust_perform

        if isinstance(operation, trust_operations.PublishSshRevocations):
            from jitid.ledger import expiry

            expiry.try_to_record(self._ledger)
        with self._ledger.read() as snapshot:
            names = snapshot.names
            match operation:
                case inventory_operations.Inspect():
                    return inventory_perform.inspect(snapshot, names, operation, self._caller)
                case (
                    leak_operations.ListLeaks() | leak_operations.ShowLeaks() | leak_operations.RecountLeaks()
                ):
                    return leak_perform.look_at_leaks(snapshot, operation)
                case inventory_operations.ListCredentials():
                    return inventory_perform.list_credentials(snapshot, operation)
                case inventory_operations.ShowTree():
                    return inventory_perform.show_tree(snapshot, operation)
                case inventory_operations.ListTasks():
                    return inventory_perform.list_tasks(snapshot, self._caller, operation)
                case inventory_operations.ShowTask():
                    return inventory_perform.show_task(snapshot, self._caller, operation)
                case audit_operations.ReadLog():
                    return integrity_perform.read_log(snapshot, operation)
                case audit_operations.FollowLog():
                    return integrity_perform.follow_log(snapshot, operation)
                case integrity_operations.VerifyLog():
                    return integrity_perform.verify_log(snapshot, names, operation)
                case audit_operations.SignHead():
                    return integrity_perform.sign_head(snapshot, names, self._keyring)
                case trust_operations.ListKeys():
                    return perform_keys.list_keys(snapshot)
                case trust_operations.PublishKeys():
                    from jitid.capabilities.trust import rotation

                    return rotation.published(snapshot)
                case trust_operations.PublishSshAuthorities():
                    from jitid.capabilities.trust import ssh_trust

                    return ssh_trust.authorities(snapshot, names)
                case trust_operations.PublishSshRevocations():
                    from jitid.capabilities.trust import ssh_trust

                    seal.must_not_be(snapshot)
                    return ssh_trust.revocations(snapshot, names)
                case _:
                    assert_never(operation)

    @property
    def _inside(self) -> Inside:
        from jitid.operation.context import Inside

        # It must not become an attribute: it refers to the authority, and the two would keep each other in memory.
        return Inside(
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

    def _issue_to(self, operation: issue_operations.Issue, actor: Actor) -> Issued:
        (issued,) = self._issue(operation, actor)
        return issued

    def _deny(self, denial: InvalidCredentialError, known: dict[str, Any]) -> None:
        self._record_denial(denial, known, accept_clock=False)

    def _issue(self, operation: issue_operations.Issue, actor: Actor | None = None) -> list[Issued]:
        from jitid.capabilities.issue import issuance
        from jitid.model.request import check_sizes

        # Before the lock, and before anything is looked up.
        check_sizes(operation.requests)
        if operation.dry_run:
            requests, uses = self._proved(operation, actor)
            with self._ledger.read() as snapshot:
                if uses:
                    from jitid.capabilities.issue.presented import must_stay_first

                    must_stay_first(snapshot, uses)
                return [
                    self._previewed(snapshot, request, position, operation.as_of)
                    for position, request in enumerate(requests)
                ]
        # What is slow and needs no lock comes before it.
        terms = self._agreed
        try:
            requests, uses = self._proved(operation, actor)
            outside = any(is_outside(request.kind) for request in requests)

            def make(transaction: Transaction) -> list[Issued]:
                if repeats and foreseen is not None and transaction.now != foreseen.now:
                    raise _OutdatedError
                _record(transaction, uses)
                return issuance.issue(
                    transaction, transaction.names, requests, terms, self._keyring, foreseen
                )

            # Planning a list takes long enough for the second to pass, and with it the plan.
            repeats = 2 if len(requests) > 1 else 0
            while True:
                foreseen = self._foreseen(operation, requests, terms)
                try:
                    issued = self._made(operation, make, shared=len(requests) == 1 and not outside)
                    break
                except _OutdatedError:
                    repeats -= 1
        except ApprovalNeededError as denial:
            from jitid.capabilities.issue import approval_request

            with self._ledger.write(accept_clock=operation.accept_clock) as transaction:
                _record(transaction, uses)
                told = approval_request.ask(transaction, denial, terms)
            raise told from None
        except (PolicyDeniedError, InvalidCredentialError) as denial:
            self._record_denial(denial, _told(operation), accept_clock=operation.accept_clock)
            raise
        if not outside:
            return issued
        from jitid.capabilities.issue import perform as issue_perform

        return issue_perform.made(self._inside, issued)

    def _made(
        self, operation: issue_operations.Issue, make: Callable[[Transaction], list[Issued]], *, shared: bool
    ) -> list[Issued]:
        """Make what was requested in a transaction; `shared`: a single event, others need not follow one another."""
        if self._caller is None or self._caller.key is None:
            return change(self._ledger, make, accept_clock=operation.accept_clock, shared=shared)
        from jitid.authority.repeat import once
        from jitid.ledger.idempotency import ISSUED

        return once(
            self._ledger,
            self._caller,
            self._asked,
            make,
            ISSUED,
            _ids,
            accept_clock=operation.accept_clock,
            shared=shared,
        )

    def _foreseen(
        self, operation: issue_operations.Issue, requests: Sequence[IssueRequest], terms: Terms
    ) -> ForeseenIssues | None:
        """Return what requests come to so far; what would be refused is left for the transaction to refuse."""
        from jitid.capabilities.issue import issuance

        # With a clock that is to be accepted, the snapshot's time is not the transaction's.
        if operation.accept_clock:
            return None
        if not self._ledger.foresees(quick=lambda: issuance.is_quick(requests, terms, self._keyring)):
            return None
        try:
            with self._ledger.read() as snapshot:
                return issuance.foresee(snapshot, snapshot.names, requests, terms, self._keyring)
        except JitidError:
            return None

    def _previewed(self, snapshot: View, request: IssueRequest, position: int, as_of: int | None) -> Issued:
        from jitid.capabilities.issue import issuance

        seal.must_not_be(snapshot)
        try:
            return issuance.preview(snapshot, snapshot.names, request, self._agreed, as_of)
        except JitidError as error:
            error.position = position
            if isinstance(error, PolicyDeniedError):
                error.advise()
            raise

    def _proved(
        self, operation: issue_operations.Issue, actor: Actor | None
    ) -> tuple[Sequence[IssueRequest], Sequence[Presentation]]:
        """Return the requests with the delegator that a token proves, and the uses of tokens that are to be recorded.

        Asking an issuer takes no lock.
        """
        used = () if actor is None or actor.presented is None else (actor.presented,)
        if operation.delegator_token is None:
            return operation.requests, used
        from jitid.capabilities.issue.actors import client_actor
        from jitid.capabilities.issue.presented import present

        def actors(snapshot: View) -> list[Actor]:
            issuer = self._ledger.names.issuer
            agents = dict.fromkeys(request.agent for request in operation.requests)
            return [actor or client_actor(snapshot, self._caller, agent, issuer) for agent in agents]

        proof, use = present(self._inside, operation.delegator_token, operation.delegator_token_sort, actors)
        subject = f"{proof.issuer} {proof.subject}"
        return [
            request._replace(
                proved_delegator=proof.delegator, proved_subject=subject, proved_at=proof.proved_at
            )
            for request in operation.requests
        ], used if use is None else (*used, use)

    def _renew(self, operation: issue_operations.Renew) -> Issued:
        from jitid.capabilities.issue import renewal

        terms = self._agreed

        def make(transaction: Transaction) -> Issued:
            return renewal.renew(transaction, transaction.names, operation.request, terms, self._keyring)

        try:
            if self._caller is None or self._caller.key is None:
                return change(self._ledger, make, accept_clock=operation.accept_clock)
            from jitid.authority.repeat import once
            from jitid.ledger.idempotency import RENEWED

            return once(
                self._ledger,
                self._caller,
                self._asked,
                make,
                RENEWED,
                lambda issued: _ids([issued]),
                accept_clock=operation.accept_clock,
            )
        except (PolicyDeniedError, InvalidCredentialError) as denial:
            self._record_denial(denial, _told(operation), accept_clock=operation.accept_clock)
            raise

    def _record_denial(self, denial: JitidError, known: dict[str, Any], *, accept_clock: bool) -> None:
        if isinstance(denial, PolicyDeniedError):
            # No other writer waits for the lock any more.
            denial.advise()
        facts = denial.facts if isinstance(denial, PolicyDeniedError) else {**known, "reason": denial.message}

        reused = facts.get("rules") == ["renewed-twice"]

        def record(transaction: Transaction) -> None:
            if facts.get("policy") is not None:
                # Whoever asks why must find the rules that said so.
                policies.keep(transaction, facts["policy"], self._agreed.policy_text)
            if reused:
                from jitid.values.ids import parse_id

                CredentialChanges(transaction).mark_reused(parse_id(facts["of"])[1])
            transaction.append("denial", facts)

        change(self._ledger, record, accept_clock=accept_clock, shared=not reused)

    def _verify(self, operation: identity_operations.Verify) -> object:
        from jitid.capabilities.identity import introspection

        with self._ledger.read() as snapshot:
            names = snapshot.names
            audiences = self._inside.told_about(operation.audiences, names, snapshot.now)
            return introspection.verify(
                snapshot, names, operation.token.reveal(), audiences, shown=True
            ).credential

    def _revoke(self, operation: identity_operations.Revoke) -> Ended:
        from jitid.capabilities.identity import revocation

        if operation.dry_run:
            with self._ledger.read() as snapshot:
                return revocation.preview(snapshot, self._selection(snapshot, operation))
        with self._ledger.write(accept_clock=operation.accept_clock) as transaction:
            selection = self._selection(transaction, operation)
            ended = revocation.revoke(transaction, selection, operation.reason, operation.most)
            ended = _with_unsettled(transaction, ended, selection)
        return ended._replace(unproved=self._prove())

    def _selection(self, snapshot: View, operation: identity_operations.Revoke) -> Selection:
        """Return the selection with the identities of the presented tokens; this ledger must have issued each."""
        from jitid.capabilities.identity import introspection

        found = [
            introspection.recognise(snapshot, snapshot.names, token.reveal()).jti
            for token in operation.tokens
        ]
        unknown = CredentialStore(snapshot).unknown_of((*operation.selection.ids, *operation.selection.trees))
        if unknown is not None:
            raise NotFoundError(
                f"the ledger knows no {quote(unknown)}; nothing was changed", "see: jitid list"
            )
        delegators = [
            name
            for stated in operation.selection.delegators
            for name in DirectoryStore(snapshot).known_by(stated)
        ]
        return operation.selection._replace(
            ids=(*operation.selection.ids, *found), delegators=tuple(dict.fromkeys(delegators))
        )

    def _abandon(
        self, operation: issue_operations.AbandonRenewal | issue_operations.AbandonAttachment
    ) -> None:
        from jitid.capabilities.issue import renewal

        with self._ledger.write() as transaction:
            match operation:
                case issue_operations.AbandonRenewal(token=token):
                    renewal.abandon_held(transaction, self._ledger.names, token.reveal())
                case issue_operations.AbandonAttachment(jti=jti):
                    renewal.abandon(transaction, jti, renewal.ATTACHMENT)

    def _hand_back(self, operation: identity_operations.HandBack) -> HandedBack:
        from jitid.capabilities.identity import hand_back

        try:
            with self._ledger.write(accept_clock=operation.accept_clock) as transaction:
                found = hand_back.hand_back(
                    transaction, self._ledger.names, operation.token.reveal(), operation.id, operation.reason
                )
                found = found._replace(ended=_with_unsettled(transaction, found.ended))
        except (PolicyDeniedError, InvalidCredentialError) as denial:
            self._record_denial(denial, _told(operation), accept_clock=operation.accept_clock)
            raise
        return found._replace(ended=found.ended._replace(unproved=self._prove()))

    def _retire(self, operation: inventory_operations.Retire) -> Ended:
        from jitid.capabilities.inventory import retirement

        if operation.dry_run:
            with self._ledger.read() as snapshot:
                return retirement.preview_retire(snapshot, operation.task)
        with self._ledger.write(accept_clock=operation.accept_clock) as transaction:
            ended = retirement.retire(transaction, operation.task, operation.reason)
            ended = _with_unsettled(transaction, ended, Selection(tasks=(operation.task,)))
        return ended._replace(unproved=self._prove())

    def _share(
        self, operation: inventory_operations.ShareTask | inventory_operations.GiveTask
    ) -> inventory_operations.TaskRow:
        from jitid.capabilities.inventory import perform as inventory_perform
        from jitid.capabilities.inventory import task_sharing

        try:
            with self._ledger.write(accept_clock=operation.accept_clock) as transaction:
                match operation:
                    case inventory_operations.GiveTask(task=name, to=to):
                        task = task_sharing.give(transaction, name, to, freely=gives_freely(self._caller))
                    case inventory_operations.ShareTask(task=name, names=names, end=end):
                        task = (task_sharing.unshare if end else task_sharing.share)(transaction, name, names)
                    case _:
                        assert_never(operation)
                return inventory_perform.row_of(transaction, self._caller, task)
        except PolicyDeniedError as denial:
            self._record_denial(denial, {}, accept_clock=operation.accept_clock)
            raise

    def _has_role(self, kind: type[ops.Operation[Any]]) -> bool:
        from jitid.authority.guard import has_role

        return has_role(self._caller, kind)

    def _once(self, *asked: Any, **more: Any) -> Any:  # noqa: ANN401 - it returns what its caller makes
        from jitid.authority.repeat import once

        return once(self._ledger, self._caller, *asked, **more)

    def _prove(self) -> str | None:
        from jitid.authority.prove import prove

        return prove(self._ledger)

    def _change_leaks(
        self, operation: leak_operations.AddLeaks | leak_operations.CloseLeaks | leak_operations.ProveLeaks
    ) -> object:
        from jitid.capabilities.leak import leaks
        from jitid.model.leak import LeakFilter

        ledger, accept_clock = self._ledger, operation.accept_clock
        match operation:
            case leak_operations.AddLeaks(finds=finds, report=report, sightings=seen, dry_run=dry_run):
                return leaks.add(ledger, finds, report, seen, dry_run=dry_run, accept_clock=accept_clock)
            case leak_operations.CloseLeaks(numbers=numbers, jtis=jtis, reason=reason, valid_too=valid_too):
                chosen = LeakFilter(numbers, jtis)
                return leaks.close(ledger, chosen, reason, valid_too=valid_too, accept_clock=accept_clock)
            case leak_operations.ProveLeaks():
                return leaks.prove(ledger, accept_clock=accept_clock)
            case _:
                assert_never(operation)

    def _change_keys(self, operation: trust_operations.RotateKey | trust_operations.RevokeKey) -> KeyChange:
        from jitid.capabilities.trust import rotation

        with self._ledger.write(accept_clock=operation.accept_clock) as transaction:
            if isinstance(operation, trust_operations.RotateKey):
                change = rotation.rotate(
                    transaction,
                    self._ledger.names,
                    self._keyring,
                    operation.algorithm,
                    operation.use,
                    operation.transit,
                )
            else:
                change = rotation.revoke(
                    transaction,
                    self._ledger.names,
                    self._keyring,
                    operation.kid,
                    operation.reason,
                    operation.most,
                )
            spent = rotation.spent(transaction)
        # Only now that the ledger no longer counts on them may private keys go; those too that a crash left behind.
        for kid in spent:
            self._keyring.forget(kid)
        if isinstance(operation, trust_operations.RevokeKey):
            change = change._replace(unproved=self._prove())
        return change


class _OutdatedError(Exception):
    """The plan of a list is of an earlier second: it is made again before the lock is taken again."""


def _told(operation: ops.Operation[Any]) -> dict[str, Any]:
    """Return what the audit log says was asked for where a token is not valid, so that nothing else is known."""
    match operation:
        case issue_operations.Issue(requests=(first, *_)):
            return {"task": first.task, "agent": first.agent}
        case issue_operations.Renew():
            return {"renewal": True}
        case identity_operations.HandBack(id=id_):
            return {"hand_back": id_}
        case _:
            return {"operation": type(operation).__name__}


def _with_unsettled(transaction: Transaction, ended: Ended, selection: Selection | None = None) -> Ended:
    """Return what ended with the number of those that are still to be ended at their targets.

    Of a selection what had ended before counts too: whoever asks twice wants to see it done.
    """
    from jitid.capabilities.targets.store import OutsideChanges

    left = [] if selection is None else OutsideChanges(transaction).left_of(selection, _MOST_LEFT)
    waiting = tuple(one.record.jti for one in left if one.settled_at is None)
    unsettled = 0 if ended.event is None else OutsideChanges(transaction).open_count(event=ended.event)
    ended = ended._replace(unsettled=max(unsettled, len(waiting)))
    if len(waiting) > unsettled:
        ended = ended._replace(earlier=waiting)
    if len(waiting) < len(left):
        from jitid.capabilities.targets.settle import left_by_now

        honoured = tuple(left_by_now(one) for one in left if one.settled_at is not None)
        ended = ended._replace(unsupported=len(honoured), left=honoured)
    return ended


_MOST_LEFT = 1_000
"""So many that had ended before are asked for again by whoever ends the rest."""


def _record(transaction: Transaction, uses: Sequence[Presentation]) -> None:
    """Record with the next event that tokens of other issuers are used."""
    if uses:
        from jitid.capabilities.issue.presented import must_be_first

        must_be_first(transaction, uses)


def _ids(issued: Sequence[Issued]) -> tuple[bytes, bytes]:
    """Return the first and the last `jti` of what was issued, 16 bytes each."""
    from jitid.values.ids import parse_id

    first, last = issued[0].credentials[0].jti, issued[-1].credentials[-1].jti
    return parse_id(first)[1], parse_id(last)[1]
