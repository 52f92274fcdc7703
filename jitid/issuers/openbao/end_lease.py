"""Ending of leases and tokens at OpenBao, and confirmation that they are gone.

The server reports a token as revoked when its leases are merely queued; only a lookup shows that they are gone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from jitid.errors import JitidError, RefusedError, StorageError
from jitid.issuers.openbao.bao import BaoCall
from jitid.issuers.openbao.login import plain
from jitid.issuers.openbao.look_up import BRIEF, Looking, SecretReference, reference_of
from jitid.model.target import EndOutcome, Settlement, TargetRecord
from jitid.values.text import quote

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between lookups of leases that the server is about to end."""
_MAX_CLOCK_SKEW = 900
"""Maximum difference in seconds between the server's clock and this one, if only this one is known."""


class LeaseEnding:
    """The ending of secrets within the time of one call."""

    def __init__(self, bao: BaoCall) -> None:
        self._bao = bao
        self._target = bao.target
        self._looking = Looking(bao)

    def end(self, records: Sequence[TargetRecord]) -> list[EndOutcome]:
        """Return the outcome of each. A failure does not prevent the attempt for the next one."""
        outcomes: list[EndOutcome] = []
        trouble: JitidError | None = None
        for record in records:
            # After a failure and the end of the time limit, the server is not tried again.
            if trouble is not None and self._bao.left <= 0:
                outcomes.append(_failed(trouble))
                continue
            try:
                outcomes.append(self._end(record))
            except JitidError as error:
                trouble = error
                outcomes.append(_failed(error))
        return outcomes

    def _end(self, record: TargetRecord) -> EndOutcome:
        reference = reference_of(record)
        if reference is None:
            return self._end_unknown(record)
        if reference.lease is not None:
            return self._end_leased(reference.accessor, reference.lease)
        if reference.certificate is not None:
            return self._end_certificate(reference)
        if reference.unleased:
            outcome = self._end_token(reference.accessor)
            if outcome.settlement is not Settlement.DONE:
                return outcome
            return _unsupported(record, "it has no lease: it is honoured until it ends by itself")
        if record.template is None:
            return self._end_token(reference.accessor)
        return self._end_unread(reference.accessor, record)

    def _end_leased(self, accessor: str, lease: str) -> EndOutcome:
        # Without `sync` the server would only queue the revocation.
        reply = self._bao.request("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})
        if reply.status == 403:
            raise self._bao.refused(reply, "to end a lease", "sys/leases/revoke", ("update",))
        outcome = self._end_token(accessor)
        lease_reply = self._looking.lease(lease)
        if lease_reply is None:
            if outcome.settlement is not Settlement.DONE:
                return outcome
            return EndOutcome(Settlement.DONE, f"the server has neither the lease {lease} nor its token")
        reason = self._looking.reasons().get(lease)
        if reason is not None:
            return EndOutcome(Settlement.STUCK, f"the lease {lease} is irrevocable: {reason}")
        detail = "the server still has it" if reply.good else self._bao.error_text(reply)
        return EndOutcome(Settlement.UNAVAILABLE, f"the lease {lease} could not be ended: {detail}")

    def _end_token(self, accessor: str) -> EndOutcome:
        reply = self._bao.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})
        if reply.status == 403 and not reply.mentions("invalid accessor"):
            raise self._bao.refused(reply, "to end a token", "auth/token/revoke-accessor", ("update",))
        if self._looking.token(accessor) is None:
            return EndOutcome(Settlement.DONE, f"the server has no token with the accessor {accessor}")
        detail = "the server still has it" if reply.good else self._bao.error_text(reply)
        return EndOutcome(Settlement.UNAVAILABLE, f"the token could not be ended: {detail}")

    def _end_certificate(self, reference: SecretReference) -> EndOutcome:
        assert reference.certificate is not None
        mount, serial = reference.certificate
        outcome = self._end_token(reference.accessor)
        reply = self._bao.request("POST", f"{mount}/revoke", {"serial_number": serial})
        revoked = reply.data.get("revocation_time")
        if reply.good and type(revoked) is int and revoked > 0:
            if outcome.settlement is not Settlement.DONE:
                return outcome
            return EndOutcome(
                Settlement.DONE, f"the certificate {serial} is on the revocation list of {mount}"
            )
        if reply.status == 403:
            raise self._bao.refused(reply, "to revoke a certificate", f"{mount}/revoke", ("update",))
        return EndOutcome(Settlement.UNAVAILABLE, f"the certificate {serial}: {self._bao.error_text(reply)}")

    def _end_unread(self, accessor: str, record: TargetRecord) -> EndOutcome:
        """End a token if it is unknown whether a secret was read with it.

        The revocation expires its leases. So the server must have no expired lease from the time of the token.
        """
        token = self._looking.token(accessor)
        created_at = token.data.get("creation_time") if token is not None else None
        earliest, latest = (
            (created_at - 1, created_at + BRIEF * 10)
            if type(created_at) is int
            else (record.issued_at - _MAX_CLOCK_SKEW, record.issued_at + _MAX_CLOCK_SKEW)
        )
        outcome = self._end_token(accessor)
        if outcome.settlement is not Settlement.DONE:
            return outcome
        path = self._path(record)
        if path is None:
            return outcome
        overdue = self._overdue(self._bao.names(f"sys/leases/lookup/{path}/"), path, earliest, latest)
        for pause in _PAUSES:
            if not overdue or self._bao.left < pause:
                break
            # The server does it in the background, usually at once.
            time.sleep(pause)
            overdue = self._overdue(
                [lease.removeprefix(f"{path}/") for lease in overdue], path, earliest, latest
            )
        if not overdue:
            return EndOutcome(
                Settlement.DONE, f"the server has no token with the accessor {accessor}, and no lease of it"
            )
        for lease in overdue:
            reply = self._bao.request("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})
            if not reply.good and lease in self._looking.reasons():
                return EndOutcome(
                    Settlement.STUCK, f"the lease {lease} is irrevocable: {self._looking.reasons()[lease]}"
                )
            if self._looking.lease(lease) is not None:
                detail = "the server still has it" if reply.good else self._bao.error_text(reply)
                return EndOutcome(Settlement.UNAVAILABLE, f"the lease {lease} could not be ended: {detail}")
        return EndOutcome(
            Settlement.DONE, f"the server has no token with the accessor {accessor}, and no lease of it"
        )

    def _overdue(self, names: Sequence[str], path: str, earliest: float, latest: float) -> list[str]:
        """Return the expired leases of these names that were made between `earliest` and `latest`."""
        overdue = []
        for name in names:
            lease = f"{path}/{name}"
            reply = self._looking.lease(lease)
            if reply is None:
                continue
            ttl, issued_at = reply.data.get("ttl"), _moment(reply.data.get("issue_time"))
            if (type(ttl) is not int or ttl <= 0) and (issued_at is None or earliest <= issued_at <= latest):
                overdue.append(lease)
        return overdue

    def _end_unknown(self, record: TargetRecord) -> EndOutcome:
        """End a token whose accessor was lost, or was never recorded, if there is one."""
        try:
            accessor = self._looking.searched(record)
        except RefusedError as error:
            # No secret was requested with a token if the ledger does not have its accessor.
            if 0 < record.issued_at < time.time() - 2 * BRIEF:
                detail = f"the {BRIEF} s of its token are over, if it was made"
                return EndOutcome(Settlement.DONE, detail)
            detail = f"its token, if it was made, ends within {BRIEF} s: {error.message}"
            return EndOutcome(Settlement.UNAVAILABLE, detail)
        if accessor is None:
            return EndOutcome(Settlement.DONE, f"the server has no token for {record.jti}")
        return self._end_token(accessor)

    def _path(self, record: TargetRecord) -> str | None:
        """Return the path of the record's secret; None if the token is the secret."""
        template = self._target.templates.get(record.template or "")
        if template is None:
            raise StorageError(
                f"the target {self._target.name} has no template {quote(record.template or '')} any more, which "
                "tells where leases were made"
            )
        return None if template.get("path") is None else plain(template["path"], "path", self._target)


def _failed(error: JitidError) -> EndOutcome:
    stuck = not isinstance(error, StorageError)
    return EndOutcome(Settlement.STUCK if stuck else Settlement.UNAVAILABLE, error.message)


def _unsupported(record: TargetRecord, reason: str) -> EndOutcome:
    return EndOutcome(Settlement.UNSUPPORTED, reason, record.expires_at)


def _moment(value: object) -> float | None:
    """Return a time from the server (RFC 3339) in seconds since the epoch; None if it is invalid."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None
