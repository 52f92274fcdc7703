"""Dynamic secrets of OpenBao or Vault: each is read with a separate token, and ends with that token.

The token is short-lived until the ledger has its accessor. Before that, no secret is requested with it. A token that
is lost on the way expires within a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from jitid.issuers.openbao import bao
from jitid.issuers.openbao.bao import BaoCall, OpenBao
from jitid.issuers.openbao.end_lease import LeaseEnding
from jitid.issuers.openbao.login import plain
from jitid.issuers.openbao.look_up import Looking, SecretReference
from jitid.issuers.openbao.make_secret import Making
from jitid.issuers.target_issuer import OutsideIssuer, TargetOption
from jitid.model.target import EndOutcome, Existing, Life, MadeCredential, Probe, Target, TargetRecord
from jitid.values.secret import Secret
from jitid.values.text import quote

OPTIONS: Mapping[str, TargetOption] = {
    **bao.OPTIONS,
    "token_role": TargetOption("text", "the token role that children are made by; it should make orphans"),
    "transit_mount": TargetOption("text", "where the transit engine is that keeps signing keys (`transit`)"),
    "shared": TargetOption(
        "flag", "others use the same paths: what the ledger does not know there is not reported"
    ),
}
TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "path": TargetOption(
        "text", "what is read, such as `database/creds/reader`; without it the token is the secret"
    ),
    "method": TargetOption("text", "how: `GET` (unless told otherwise), `PUT` or `POST`"),
    "parameters": TargetOption(
        "table", "what is sent; {task} {agent} {delegator} {id} {jti} {ttl} stand for what the ledger has"
    ),
    "policies": TargetOption("texts", "the policies of the token, which must permit the path"),
    "unleased": TargetOption("flag", "the secret may have no lease: a certificate that ends by itself"),
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
                    return Probe(Life.LIVE, "the token looks itself up")
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
                detail = "a token" if live else "its lease is gone, and its token is not"
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
