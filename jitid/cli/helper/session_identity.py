"""The identities of sessions and subagents, in the ledger and as files of tokens: issued, renewed and revoked."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from jitid.authority.open import as_holder, open_authority, open_for_issue
from jitid.capabilities.inventory.operations import Inspect, Revoke
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.cli.issue import issue as issue_verbs
from jitid.errors import InvalidCredentialError, JitidError, NotFoundError, PolicyDeniedError, StorageError
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.model.process import renewal_due
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from jitid.values.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.session.session_place import SessionPlace
    from jitid.cli.invocation import Invocation
    from jitid.model.request import IssueRequest


def is_due(entry: dict[str, Any]) -> bool:
    """Return whether to renew an identity."""
    return bool(entry["renewing"]) or time.time() >= renewal_due(
        entry["issued_at"], entry["expires_at"], entry["depth"]
    )


def ended_as(cli: Invocation, id_: str, *, by_others: bool = False) -> str | None:
    """Return how an identity ended in the ledger; None if it is alive or expired.

    With `by_others`, also if its client closed it.
    """
    inspection = open_authority(cli.config()).perform(Inspect(id=id_))
    state, event = inspection.credential.ended_as, inspection.ended_event or {}
    return None if state in (None, State.EXPIRED) or (by_others and event.get("closing")) else state


@contextmanager
def explained(cli: Invocation, id_: str) -> Iterator[None]:
    """Say in a refusal that the identity of a session was revoked on purpose, and with which reason, if it was."""
    try:
        yield
    except InvalidCredentialError as error:
        inspection = None
        with suppress(JitidError):
            inspection = open_authority(cli.config()).perform(Inspect(id=id_))
        event = {} if inspection is None else inspection.ended_event or {}
        if inspection is None or inspection.credential.ended_as != State.REVOKED or event.get("closing"):
            raise
        reason = event.get("reason")
        raise InvalidCredentialError(
            error.message + (f" ({quote(reason)})" if reason else ""),
            f"it was revoked on purpose: start the client again for another one; more: jitid inspect {id_}",
        ) from error


class SessionIdentities:
    """The identities of the sessions of one process. Each has an entry in the state, and a file with its token."""

    def __init__(self, cli: Invocation, session_place: SessionPlace, save: Callable[[], None]) -> None:
        """`save` writes the state, of which the entries are parts."""
        self._cli = cli
        self._place = session_place
        self._save = save

    def issue(self, request: IssueRequest, proof: Secret | None, file: str) -> Issued:
        """Issue an identity, and write its token to a file in the place. Raises the errors of `issue`."""
        operation = Issue(requests=(request,), delegator_token=proof, accept_clock=self._cli.accept_clock)
        authority = open_for_issue(self._cli.config(), operation, self._cli.note)
        if request.parent is not None:
            # The right of the parent decides about the agent's name, not the access of this process to the ledger.
            authority = as_holder(self._cli.config(), authority, request.parent)
        (issued,) = authority.perform(operation)
        for note in issued.notes:
            self._cli.note(note)
        (credential,) = issued.credentials
        try:
            self._place.put(file, credential.secret.reveal())
        except BaseException:
            self.revoke([credential.id], "its token could not be written")
            raise
        return issued

    def renew(self, entry: dict[str, Any]) -> bool:
        """Renew an identity. Return False if it has expired, so that only a new one can replace it.

        Raises:
            InvalidCredentialError: the identity was revoked, or its task or its parent has ended.

        """
        now, file = time.time(), entry["file"]
        # A process that was killed between its renewal and the new file has lost the successor.
        lost = entry["renewing"] and self._has_successor(entry)
        if lost or now >= entry["expires_at"]:
            return self._may_open_again(entry, lost=lost)
        token = Secret.single(self._place.token(file))
        entry["renewing"] = True
        self._save()
        authority = open_authority(self._cli.config())
        try:
            issued = authority.perform(
                Renew(request=RenewRequest(token), accept_clock=self._cli.accept_clock)
            )
            successor = issued.credentials[0].secret.reveal()
            issue_verbs.hand_over(self._cli, authority, issued, lambda: self._place.put(file, successor))
        except InvalidCredentialError:
            entry["renewing"] = False
            self._save()
            raise
        except (PolicyDeniedError, StorageError) as error:
            # The token works until it expires; the next request tries again.
            entry["renewing"] = False
            self._save()
            self._cli.detail(f"the session could not be renewed: {error.message}")
            return True
        finally:
            authority.close()
        entry.update(facts(issued))
        self._save()
        return True

    def _has_successor(self, entry: dict[str, Any]) -> bool:
        inspection = open_authority(self._cli.config()).perform(Inspect(id=entry["jti"]))
        return inspection.credential.superseded_at is not None

    def _may_open_again(self, entry: dict[str, Any], *, lost: bool) -> bool:
        """Return False if the identity has only expired. Raises InvalidCredentialError if it was ended."""
        ending = ended_as(self._cli, entry["id"])
        if ending is not None:
            raise InvalidCredentialError(
                f"the identity of the session was {ending}",
                "start the client again for another one",
            )
        if lost:
            self.revoke([entry["id"]], "its renewed token was lost")
        return False

    def revoke(self, ids: list[str], reason: str) -> None:
        """Revoke identities that their client closes: its process may have others."""
        authority = open_authority(self._cli.config())
        operation = Revoke(
            selection=Selection(ids=tuple(ids)),
            reason=reason,
            closing=True,
            most=None,
            accept_clock=self._cli.accept_clock,
        )
        try:
            ended = authority.perform(operation)
        except NotFoundError:
            # The ledger was pruned, or is another one.
            return
        if ended.unsettled:
            from jitid.authority.settle_at_targets import confirm_quietly

            confirm_quietly(authority, ended, self._cli.warn)


def facts(issued: Issued) -> dict[str, Any]:
    """Return the members of an entry that each renewal replaces."""
    (credential,) = issued.credentials
    return {
        "id": credential.id,
        "jti": credential.jti,
        "issued_at": issued.issued_at,
        "expires_at": issued.expires_at,
        "depth": issued.depth,
        "renewing": False,
    }
