"""Dynamic secrets of OpenBao or Vault: each is read with a separate token, and ends with that token.

The token is short-lived until the ledger has its accessor. Before that, no secret is requested with it. A token that
is lost on the way expires within a minute.

Leases and tokens are ended, and their end is confirmed.

The server reports a token as revoked when its leases are merely queued; only a lookup shows that they are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from jitid.errors import JitidError, RefusedError, StorageError
from jitid.issuers.openbao import bao
from jitid.issuers.openbao.bao import BaoCall, OpenBao, Reply, plain
from jitid.issuers.openbao.make_secret import BRIEF, Looking, Making, SecretReference, reference_of
from jitid.issuers.target_issuer import OutsideIssuer, TargetOption
from jitid.model.target import (
    EndOutcome,
    Existing,
    Life,
    MadeCredential,
    Probe,
    Settlement,
    Target,
    TargetRecord,
)
from jitid.values.secret import Secret
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
            proof = "it has no lease: the server accepts it until it expires"
            return EndOutcome(Settlement.UNSUPPORTED, proof, record.expires_at)
        if record.template is None:
            return self._end_token(reference.accessor)
        return self._end_unread(reference.accessor, record)

    def _end_leased(self, accessor: str, lease: str) -> EndOutcome:
        # Without `sync` the server would only queue the revocation.
        reply = self._bao.request("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})
        if reply.status == 403:
            raise self._bao.refused(reply, "to revoke a lease", "sys/leases/revoke", ("update",))
        outcome = self._end_token(accessor)
        lease_reply = self._looking.lease(lease)
        if lease_reply is None:
            if outcome.settlement is not Settlement.DONE:
                return outcome
            return EndOutcome(Settlement.DONE, f"the server has neither the lease {lease} nor its token")
        reason = self._looking.reasons().get(lease)
        if reason is not None:
            return EndOutcome(Settlement.STUCK, f"the lease {lease} is irrevocable: {reason}")
        return self._not_ended(f"the lease {lease}", reply)

    def _not_ended(self, subject: str, reply: Reply) -> EndOutcome:
        """Return the outcome for a lease or a token that is there after a revocation."""
        detail = "the server still has it" if reply.good else self._bao.error_text(reply)
        return EndOutcome(Settlement.UNAVAILABLE, f"{subject} could not be revoked: {detail}")

    def _end_token(self, accessor: str) -> EndOutcome:
        reply = self._bao.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})
        if reply.status == 403 and not reply.mentions("invalid accessor"):
            raise self._bao.refused(reply, "to revoke a token", "auth/token/revoke-accessor", ("update",))
        if self._looking.token(accessor) is None:
            return EndOutcome(Settlement.DONE, f"the server has no token with the accessor {accessor}")
        return self._not_ended("the token", reply)

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
        for lease in overdue:
            reply = self._bao.request("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})
            if not reply.good and lease in self._looking.reasons():
                return EndOutcome(
                    Settlement.STUCK, f"the lease {lease} is irrevocable: {self._looking.reasons()[lease]}"
                )
            if self._looking.lease(lease) is not None:
                return self._not_ended(f"the lease {lease}", reply)
        return EndOutcome(
            Settlement.DONE,
            f"the server has no token with the accessor {accessor}, and no lease of that token",
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
                detail = f"its token, if one was made, expired after {BRIEF} s"
                return EndOutcome(Settlement.DONE, detail)
            detail = f"its token, if one was made, expires within {BRIEF} s: {error.message}"
            return EndOutcome(Settlement.UNAVAILABLE, detail)
        if accessor is None:
            return EndOutcome(Settlement.DONE, f"the server has no token for {record.jti}")
        return self._end_token(accessor)

    def _path(self, record: TargetRecord) -> str | None:
        """Return the path of the record's secret; None if the token is the secret."""
        template = self._target.templates.get(record.template or "")
        if template is None:
            raise StorageError(
                f"the target {self._target.name} no longer has template {quote(record.template or '')}, "
                "so the path of its leases is unknown"
            )
        return None if template.get("path") is None else plain(template["path"], "path", self._target)


def _failed(error: JitidError) -> EndOutcome:
    stuck = not isinstance(error, StorageError)
    return EndOutcome(Settlement.STUCK if stuck else Settlement.UNAVAILABLE, error.message)


def _moment(value: object) -> float | None:
    """Return a time from the server (RFC 3339) in seconds since the epoch; None if it is invalid."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None


OPTIONS: Mapping[str, TargetOption] = {
    **bao.OPTIONS,
    "token_role": TargetOption("text", "the token role for child tokens; it should have orphan=true"),
    "transit_mount": TargetOption(
        "text", "the mount path of the transit engine with the signing keys (default: `transit`)"
    ),
    "shared": TargetOption("flag", "other systems use the same paths: unknown leases there are not reported"),
}
TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "path": TargetOption(
        "text", "the path of the secret, such as `database/creds/reader` (default: the token is the secret)"
    ),
    "method": TargetOption("text", "the HTTP method: `GET` (default), `PUT` or `POST`"),
    "parameters": TargetOption(
        "table", "the parameters of the request; {task} {agent} {delegator} {id} {jti} {ttl} are filled in"
    ),
    "policies": TargetOption("texts", "the policies of the token, which must permit the path"),
    "unleased": TargetOption("flag", "the secret may have no lease, like a certificate that only expires"),
}


class OpenbaoLeaseIssuer(OutsideIssuer):
    """Secrets of one server."""

    def __init__(self, target: Target, *, timeout: float, issuer: str) -> None:
        """Set the target, the time limit of a call in seconds, and the ledger's `iss`."""
        self._target = target
        self._bao = OpenBao(target, timeout)
        self._issuer = issuer
        self._known: frozenset[str] = frozenset()
        self._maker = "auth/token/create"
        if "token_role" in target.options:
            self._maker += "/" + plain(target.options["token_role"], "token_role", target)

    def mint(self, record: TargetRecord, remember: Callable[[str], None]) -> MadeCredential:
        """Make a token under the record's name, and read with it the secret that the template names."""
        with self._bao.call() as call:
            return Making(call, self._maker, self._issuer, record).make(remember)

    def revoke(self, records: Sequence[TargetRecord]) -> list[EndOutcome]:
        """End leases and tokens, and check that they are gone: the server's acceptance alone proves nothing."""
        with self._bao.call() as call:
            return LeaseEnding(call).end(records)

    def probe(self, record: TargetRecord, secret: Secret | None = None) -> Probe:
        """Check the lease, the certificate or the token of a record."""
        with self._bao.call() as call:
            if secret is not None and secret.names == ("token",):
                reply = call.request("GET", "auth/token/lookup-self", token=secret.reveal())
                if reply.good:
                    return Probe(Life.LIVE, "a lookup with the token itself succeeded")
            return Looking(call).look(record)

    def names_of(self, name: str, reference: str | None) -> tuple[str, ...]:
        """Return the reference from the ledger: neither leases nor accessors contain jitid's names."""
        return (reference or name,)

    def expect(self, names: Collection[str]) -> None:
        """Set the references of all credentials in the ledger."""
        self._known = frozenset(names)

    def inventory(self) -> Iterator[Existing]:
        """Yield the leases below the paths of the templates, and jitid's tokens.

        A credential in the ledger has its reference as its name. Without `expect` no reference is known, and all
        names are the server's.
        """
        with self._bao.call() as call:
            leases = self._leases(call)
            given_up = Looking(call).reasons()
            remembered = {
                lease: reference for reference in self._known if (lease := reference.partition(_LEASE)[2])
            }
            seen_leases = remembered.keys() & leases.keys()
            for lease in seen_leases:
                detail = _lease_detail("a lease", given_up.get(lease)) if given_up else "a lease"
                yield Existing(remembered[lease], None, True, detail=detail)
            if not self._target.options.get("shared"):
                for lease in leases.keys() - seen_leases:
                    detail = _lease_detail(f"a lease of the template {leases[lease]}", given_up.get(lease))
                    yield Existing(lease, None, live=True, detail=detail)
            # A lease that the server has given up outlives its token.
            leased = len(seen_leases - given_up.keys())
            lost_references = [remembered[lease] for lease in remembered.keys() - seen_leases]
            yield from self._tokens(call, leased, lost_references)

    def _tokens(self, call: BaoCall, leased: int, lost_references: Collection[str]) -> Iterator[Existing]:
        """Yield jitid's tokens without a lease: secrets themselves, remains of others, and unknown ones.

        `leased` is the number of tokens with a lease that was seen; `lost_references` are to leases that are gone.
        """
        # The lease of a token does not show its accessor, but the number of leases shows whether a search is needed.
        token_count = len(call.names(f"sys/leases/lookup/{self._maker}"))
        unleased = [
            reference
            for reference in self._known
            if _LEASE not in reference and SecretReference.parse(reference) is not None
        ]
        if token_count == leased and not unleased:
            return
        # This is the most expensive request: the server reads every token for it.
        accessors = set(call.names("auth/token/accessors"))
        for reference in (*unleased, *lost_references):
            accessor = reference.partition(" ")[0]
            if accessor in accessors:
                live = _LEASE not in reference
                detail = "a token" if live else "its lease no longer exists, but its token does"
                yield Existing(reference, None, live=live, detail=detail)
                token_count -= not reference.endswith(_ADOPTED)
        known_accessors = {reference.partition(" ")[0] for reference in self._known}
        yield from self._unknown(call, accessors - known_accessors, token_count - leased)

    def close(self) -> None:
        """Revoke the login and close the connections."""
        self._bao.close()

    def _leases(self, call: BaoCall) -> dict[str, str]:
        """Return the ids of the leases below the paths of the templates, each with the name of its template."""
        leases: dict[str, str] = {}
        for name, template in self._target.templates.items():
            if template.get("path") is not None:
                path = plain(template["path"], "path", self._target)
                leases.update(dict.fromkeys(_below(call, f"{path}/"), name))
        return leases

    def _unknown(self, call: BaoCall, accessors: Collection[str], lacking: int) -> Iterator[Existing]:
        """Yield jitid's tokens that the ledger does not know, until `lacking` tokens of this maker are found."""
        for accessor in accessors:
            if lacking <= 0:
                break
            reply = call.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})
            if reply.data.get("path") != self._maker:
                continue
            lacking -= 1
            meta = reply.data.get("meta")
            meta = meta if type(meta) is dict else {}
            jti = meta.get("jitid_jti")
            if type(jti) is str and meta.get("jitid_iss") == self._issuer:
                created_at = reply.data.get("creation_time")
                yield Existing(
                    accessor,
                    jti,
                    live=True,
                    created_at=created_at if type(created_at) is int else None,
                    detail=f"a token of {quote(jti)}",
                )


_LEASE = " lease "
"""The separator before the lease in a `SecretReference`."""
_ADOPTED = SecretReference("", adopted=True).text
"""The end of the reference to an adopted token."""


def _lease_detail(description: str, reason: str | None) -> str:
    """Return a description, with the reason why the server cannot end the object, if it has given up."""
    return description if reason is None else f"{description}, irrevocable: {reason}"


def _below(call: BaoCall, prefix: str) -> Iterator[str]:
    """Yield the ids of all leases below a prefix, at any depth."""
    for name in call.names(f"sys/leases/lookup/{prefix}"):
        if name.endswith("/"):
            yield from _below(call, f"{prefix}{name}")
        else:
            yield f"{prefix}{name}"
