"""Lookups of secrets at OpenBao: the reference in the ledger, and its state at the server."""

from __future__ import annotations

import time
from typing import Self

from jitid.issuers.openbao.bao import BaoCall, Reply, unclear
from jitid.model.target import Life, Probe, TargetRecord
from jitid.values.record import Record
from jitid.values.text import quote

BRIEF = 60
"""Lifetime in seconds of a token until the ledger has its accessor."""


class SecretReference(Record):
    """The ledger's reference to a secret: the accessor of its token, and the object made with the token."""

    accessor: str
    lease: str | None = None
    certificate: tuple[str, str] | None = None
    """Mount and serial number of a certificate without a lease."""
    unleased: bool = False
    """Whether the object cannot be revoked."""
    adopted: bool = False
    """Whether the token is an adopted secret that jitid has not made."""

    @property
    def text(self) -> str:
        """The reference as stored in the ledger."""
        if self.lease is not None:
            return f"{self.accessor} lease {self.lease}"
        if self.certificate is not None:
            return f"{self.accessor} certificate {' '.join(self.certificate)}"
        if self.adopted:
            return f"{self.accessor} adopted"
        return f"{self.accessor} unleased" if self.unleased else self.accessor

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the reference from its stored text; None for a text that this kind never writes."""
        match text.split(" "):
            case [accessor]:
                return cls(accessor)
            case [accessor, "lease", lease]:
                return cls(accessor, lease)
            case [accessor, "certificate", mount, serial]:
                return cls(accessor, certificate=(mount, serial))
            case [accessor, "unleased"]:
                return cls(accessor, unleased=True)
            case [accessor, "adopted"]:
                return cls(accessor, adopted=True)
        return None


def reference_of(record: TargetRecord) -> SecretReference | None:
    """Return the reference of a record, if the ledger has one."""
    return None if record.reference is None else SecretReference.parse(record.reference)


class Looking:
    """Lookups of secrets within the time of one call."""

    def __init__(self, bao: BaoCall) -> None:
        self._bao = bao
        self._target = bao.target
        self._irrevocable: dict[str, str] | None = None
        self._by_jti: dict[str, str] | None = None

    def look(self, record: TargetRecord) -> Probe:
        """Check whether the secret of a record exists."""
        reference = reference_of(record)
        if reference is None:
            accessor = self.searched(record)
            if accessor is None:
                return Probe(Life.DEAD, f"the server has no token for {record.jti}")
            return self._look_at_token(accessor)
        if reference.certificate is not None:
            return self._look_at_certificate(reference.certificate, record)
        if reference.lease is not None:
            return self._look_at_lease(reference.lease)
        if reference.unleased:
            return _look_at_time(record, "it has no lease to look at", Life.UNKNOWN)
        return self._look_at_token(reference.accessor)

    def _look_at_lease(self, lease: str) -> Probe:
        """Check whether a lease exists."""
        reply = self.lease(lease)
        if reply is None:
            return Probe(Life.DEAD, f"the server has no lease {lease}")
        ttl = reply.data.get("ttl")
        if type(ttl) is int and ttl > 0:
            return Probe(Life.LIVE, f"the lease {lease} lives for {ttl} s")
        return Probe(Life.LIVE, f"the time of the lease {lease} is over, and the server has not ended it")

    def _look_at_token(self, accessor: str) -> Probe:
        """Check whether a token exists."""
        reply = self.token(accessor)
        if reply is None:
            return Probe(Life.DEAD, f"the server has no token with the accessor {accessor}")
        return Probe(Life.LIVE, f"the token lives for {reply.data.get('ttl')} s")

    def _look_at_certificate(self, certificate: tuple[str, str], record: TargetRecord) -> Probe:
        """Check whether a certificate without a lease is revoked."""
        mount, serial = certificate
        reply = self._bao.request("GET", f"{mount}/cert/{serial}")
        if not reply.good:
            raise self._bao.refused(reply, "to look at a certificate", f"{mount}/cert/{serial}", ("read",))
        revoked = reply.data.get("revocation_time")
        if type(revoked) is int and revoked > 0:
            return Probe(Life.DEAD, f"the certificate {serial} is on the revocation list of {mount}")
        return _look_at_time(record, f"the certificate {serial} is not revoked", Life.LIVE)

    def searched(self, record: TargetRecord) -> str | None:
        """Return the accessor of a record's token by a search of all tokens; None without one."""
        if self._by_jti is None:
            accessors = {}
            for accessor in self._bao.names("auth/token/accessors"):
                reply = self._bao.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})
                meta = reply.data.get("meta")
                if type(meta) is dict and type(meta.get("jitid_jti")) is str:
                    accessors[meta["jitid_jti"]] = accessor
            self._by_jti = accessors
        return self._by_jti.get(record.jti)

    def lease(self, lease: str) -> Reply | None:
        """Return the server's reply about a lease; None if it does not exist."""
        reply = self._bao.request("PUT", "sys/leases/lookup", {"lease_id": lease})
        if reply.good and reply.data.get("id") == lease:
            return reply
        if reply.status in (400, 404) and reply.mentions("invalid lease"):
            return None
        if reply.good:
            raise unclear(self._target, "a lease of another name")
        raise self._bao.refused(reply, "to look at a lease", "sys/leases/lookup", ("update",))

    def token(self, accessor: str) -> Reply | None:
        """Return the server's reply about a token; None if it does not exist."""
        reply = self._bao.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        if reply.good and reply.data.get("accessor") == accessor:
            return reply
        if reply.status in (400, 403, 404) and reply.mentions("invalid accessor"):
            return None
        if reply.good:
            raise unclear(self._target, "a token of another name")
        raise self._bao.refused(reply, "to look at a token", "auth/token/lookup-accessor", ("update",))

    def reasons(self) -> dict[str, str]:
        """Return the reasons why the server has given up leases, by their ids."""
        if self._irrevocable is None:
            self._irrevocable = _irrevocable(self._bao)
        return self._irrevocable


def _irrevocable(bao: BaoCall) -> dict[str, str]:
    """Return the reasons why the server has given up leases, by their ids; empty if it reports none."""
    reply = bao.request("GET", "sys/leases", {"type": "irrevocable"})
    leases = reply.data.get("leases")
    reasons = {}
    for lease in leases if type(leases) is list else ():
        if type(lease) is dict and type(lease.get("lease_id")) is str:
            reasons[lease["lease_id"]] = quote(" ".join(str(lease.get("error")).split()), 200)
    return reasons


def _look_at_time(record: TargetRecord, description: str, otherwise: Life) -> Probe:
    """Judge by the expiry alone, for a secret that ends only then."""
    if time.time() >= record.expires_at + BRIEF:
        return Probe(Life.DEAD, f"{description}, and its time is over")
    return Probe(otherwise, description)
