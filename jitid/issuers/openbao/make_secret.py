"""Creation of a secret at OpenBao: a separate token, recorded in the ledger, then the secret that it may read.

And lookups of secrets: the reference in the ledger, and its state at the server.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from jitid.errors import ConfigurationError, RefusedError, StorageError
from jitid.issuers.openbao.bao import BaoCall, Reply, check_token, plain, unclear
from jitid.issuers.target_issuer import proved_agent, task_of
from jitid.model.target import Life, MadeCredential, Probe, TargetRecord
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.text import quote

_PLACE = re.compile(r"\{([^{}]*)\}|([{}])")
FIELDS = ("task", "agent", "delegator", "id", "jti", "name", "ttl")
"""The fields allowed in braces: names from the ledger, ids, and the credential's lifetime in seconds."""


def fill(value: Any, record: TargetRecord, seconds: int, target: str) -> Any:  # noqa: ANN401 - any TOML value
    """Return a value of a template with the fields filled in all texts within it.

    `{agent}` is filled only for a registered agent, and `{task}` is `OWNER/NAME`, because others grant rights by the
    results.

    Raises ConfigurationError for a brace outside a field, and for an unknown field; UsageError for the name of an
    agent that is not registered.
    """
    if type(value) is str:
        return _fill(value, record, seconds, target)
    if isinstance(value, Mapping):
        return {name: fill(item, record, seconds, target) for name, item in value.items()}
    if type(value) is list:
        return [fill(item, record, seconds, target) for item in value]
    return value


def _fill(text: str, record: TargetRecord, seconds: int, target: str) -> str:
    values = {
        "task": task_of(record),
        "delegator": record.delegator,
        "id": record.id,
        "jti": record.jti,
        "name": record.name,
        "ttl": str(seconds),
    }

    def filled(match: re.Match[str]) -> str:
        if match[1] == "agent":
            return proved_agent(record, target)
        value = values.get(match[1] or "")
        if value is None:
            raise ConfigurationError(
                f"unknown placeholder {quote(match[0])} in a template of the target {target}",
                f"the placeholders are: {', '.join(f'{{{name}}}' for name in FIELDS)}",
            )
        return value

    return _PLACE.sub(filled, text)


_METHODS = frozenset({"GET", "PUT", "POST"})
_MOST_PARTS = 32
_POWERLESS = "default"
"""The policy of tokens without rights. A token made without any policy would have all rights of its maker."""
_MAX_CLOCK_SKEW = 300
"""Maximum difference in seconds between the server's clock and this one."""


class Making:
    """The creation of one secret."""

    def __init__(self, bao: BaoCall, maker: str, issuer: str, record: TargetRecord) -> None:
        """Set the call, the path that makes tokens, the ledger's `iss`, and the record.

        Raises, before anything is made, ConfigurationError if the record's template does not exist, and StorageError
        if the credential has already expired.
        """
        self._bao = bao
        self._target = bao.target
        self._maker = maker
        self._issuer = issuer
        self._record = record
        self._template = self._found()
        self._seconds = int(record.expires_at - time.time())
        if self._seconds < 1:
            raise StorageError(
                "the credential expired before the request to its target; no secret was made",
                "try again, with a longer --ttl",
            )

    def make(self, remember: Callable[[str], None]) -> MadeCredential:
        """Make the secret. Raises as `OutsideIssuer.mint`."""
        # All checks of the template come before anything is made.
        path, method, parameters = self._request()
        token, accessor = self._token(remember)
        if path is None:
            return MadeCredential(Secret({"token": token}), accessor, {"accessor": accessor})
        reply = self._bao.request(method, path, parameters, token=token)
        if not reply.good:
            required = ("read",) if method == "GET" else ("update",)
            raise self._bao.refused(reply, f"to make a secret at {path}", path, required)
        return self._made(path, accessor, reply)

    def _found(self) -> Mapping[str, Any]:
        """Return the record's template, or an empty one for a token without rights."""
        record = self._record
        if record.template is None:
            return {}
        template = self._target.templates.get(record.template)
        if template is None:
            raise ConfigurationError(
                f"the target {self._target.name} has no template {quote(record.template)}; nothing was changed",
                f"add the table [target.{self._target.name}.template.{record.template}]",
            )
        return template

    def _request(self) -> tuple[str | None, str, Mapping[str, Any] | None]:
        template = self._template
        if template.get("path") is None:
            return None, "GET", None
        path = plain(template["path"], "path", self._target)
        method = str(template.get("method", "GET")).upper()
        if method not in _METHODS:
            raise ConfigurationError(
                f"`method` of a template of the target {self._target.name} is invalid: {quote(method)}",
                f"the methods are: {', '.join(sorted(_METHODS))}",
            )
        if not template.get("policies"):
            raise ConfigurationError(
                f"a template of the target {self._target.name} has `path` but no `policies`",
                f'name the policies that permit {path}: policies = ["…"]',
            )
        parameters = fill(template.get("parameters") or {}, self._record, self._seconds, self._target.name)
        if method == "GET":
            return path, method, parameters or None
        return path, method, parameters

    def _token(self, remember: Callable[[str], None]) -> tuple[str, str]:
        """Make the child token, let the ledger record it, and only then give it its whole lifetime."""
        record, seconds = self._record, self._seconds
        policies = [str(policy) for policy in self._template.get("policies") or [_POWERLESS]]
        body = {
            "policies": policies,
            # A token without rights may look itself up; a token that reads a secret does not need even that.
            "no_default_policy": _POWERLESS not in policies,
            "ttl": f"{min(BRIEF, seconds)}s",
            "explicit_max_ttl": f"{seconds}s",
            "display_name": record.name,
            "meta": {"jitid_jti": record.jti, "jitid_iss": self._issuer},
            "renewable": True,
            "type": "service",
        }
        reply = self._bao.request("POST", self._maker, body)
        if not reply.good:
            raise self._bao.refused(reply, "to make a token", self._maker, ("update",))
        auth = reply.auth
        token, accessor = check_token(auth.get("client_token")), check_token(auth.get("accessor"))
        if token is None or accessor is None or not _is_word(accessor):
            raise StorageError(
                f"the target {self._target.name} made a token without an accessor, which cannot be revoked",
                "the token role must make service tokens, not batch tokens",
            )
        remember(accessor)
        self._check_token(auth, policies)
        renewal = self._bao.request(
            "POST", "auth/token/renew-accessor", {"accessor": accessor, "increment": f"{seconds}s"}
        )
        if not renewal.good:
            raise self._bao.refused(
                renewal, "to extend the token to its whole lifetime", "auth/token/renew-accessor", ("update",)
            )
        lease_seconds = renewal.auth.get("lease_duration")
        if type(lease_seconds) is not int or lease_seconds > seconds:
            raise unclear(self._target, "a token that outlives the credential")
        return token, accessor

    def _check_token(self, auth: Mapping[str, Any], policies: list[str]) -> None:
        granted = auth.get("policies")
        extra = set(granted) - set(policies) - {_POWERLESS} if type(granted) is list else {"unknown"}
        if extra:
            raise RefusedError(
                f"the target {self._target.name} made a token with more policies than requested: "
                f"{quote(', '.join(sorted(map(str, extra))), 100)}",
                "check the policies of its token role",
            )
        if auth.get("orphan") is True:
            return
        # The token ends with jitid's login, so the login must outlive this process.
        self._bao.keep_login()
        login_seconds = self._bao.life()
        if login_seconds is not None and login_seconds < self._seconds:
            raise RefusedError(
                f"tokens of the target {self._target.name} end with jitid's own login, in {login_seconds:.0f} s: "
                "before the credential expires",
                "set `token_role` to a token role with orphan=true, or extend the lifetime of the login",
            )

    def _made(self, path: str, accessor: str, reply: Reply) -> MadeCredential:
        lease = reply.body.get("lease_id")
        parts = _parts(reply.data)
        if not parts or reply.body.get("wrap_info") or reply.body.get("auth"):
            raise ConfigurationError(
                f"{path} of the target {self._target.name} is not a secret of named texts",
                "to issue tokens, use a template without `path`",
            )
        facts: dict[str, Any] = {"path": path, "accessor": accessor}
        if lease:
            if not _is_lease(lease):
                raise unclear(self._target, "a lease without a name")
            facts["lease"] = lease
            facts["lease_until"] = int(time.time()) + self._lasting(lease, reply)
            return MadeCredential(Secret(parts), SecretReference(accessor, lease).text, facts)
        if not self._template.get("unleased"):
            raise ConfigurationError(
                f"the secret at {path} of the target {self._target.name} has no lease and cannot be revoked",
                "set generate_lease=true (pki), or `unleased` in the template if the secret expires on the server",
            )
        serial, expires_at = reply.data.get("serial_number"), reply.data.get("expiration")
        if type(expires_at) is int:
            facts["certificate_until"] = expires_at
            if expires_at > self._record.expires_at + _MAX_CLOCK_SKEW:
                raise ConfigurationError(
                    f"the certificate from {path} of the target {self._target.name} outlives the credential",
                    'set its lifetime in the template: parameters = { ttl = "{ttl}s" }',
                )
        if type(serial) is str and type(expires_at) is int and _is_serial(serial):
            mount = path.partition("/issue/")[0].partition("/sign/")[0]
            return MadeCredential(
                Secret(parts), SecretReference(accessor, certificate=(mount, serial)).text, facts
            )
        return MadeCredential(Secret(parts), SecretReference(accessor, unleased=True).text, facts)

    def _lasting(self, lease: str, reply: Reply) -> int:
        """Return the lease's lifetime in seconds: that of the credential, if the server permits it."""
        seconds = self._seconds
        lease_seconds = reply.body.get("lease_duration")
        lease_seconds = lease_seconds if type(lease_seconds) is int and lease_seconds >= 0 else 0
        if reply.body.get("renewable") is True and abs(lease_seconds - seconds) > 1:
            renewal = self._bao.request("PUT", "sys/leases/renew", {"lease_id": lease, "increment": seconds})
            renewed_seconds = renewal.body.get("lease_duration")
            if renewal.good and type(renewed_seconds) is int and renewed_seconds >= 0:
                lease_seconds = renewed_seconds
        return min(lease_seconds, seconds)


def _parts(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of an answer by their names; a list of texts, such as a certificate chain, becomes lines."""
    parts = {}
    for name, value in data.items():
        text = value
        if type(value) is list and value and all(type(item) is str for item in value):
            text = "\n".join(value)
        if type(text) is str and text.strip() and _is_word(name):
            parts[name] = text
    return dict(list(parts.items())[:_MOST_PARTS])


def _is_word(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isascii() and all(char.isalnum() or char in "._-" for char in text)


def _is_serial(text: str) -> bool:
    return 0 < len(text) <= 100 and all(char in "0123456789abcdefABCDEF:-" for char in text)


def _is_lease(text: object) -> bool:
    return (
        type(text) is str
        and 0 < len(text) <= 512
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


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
            return _look_at_time(record, "it has no lease", Life.UNKNOWN)
        return self._look_at_token(reference.accessor)

    def _look_at_lease(self, lease: str) -> Probe:
        """Check whether a lease exists."""
        reply = self.lease(lease)
        if reply is None:
            return Probe(Life.DEAD, f"the server has no lease {lease}")
        ttl = reply.data.get("ttl")
        if type(ttl) is int and ttl > 0:
            return Probe(Life.LIVE, f"the lease {lease} expires in {ttl} s")
        return Probe(Life.LIVE, f"the lease {lease} is past its expiry, but the server has not ended it")

    def _look_at_token(self, accessor: str) -> Probe:
        """Check whether a token exists."""
        reply = self.token(accessor)
        if reply is None:
            return Probe(Life.DEAD, f"the server has no token with the accessor {accessor}")
        return Probe(Life.LIVE, f"the token expires in {reply.data.get('ttl')} s")

    def _look_at_certificate(self, certificate: tuple[str, str], record: TargetRecord) -> Probe:
        """Check whether a certificate without a lease is revoked."""
        mount, serial = certificate
        reply = self._bao.request("GET", f"{mount}/cert/{serial}")
        if not reply.good:
            raise self._bao.refused(reply, "to read a certificate", f"{mount}/cert/{serial}", ("read",))
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
            raise unclear(self._target, "a lease with another name")
        raise self._bao.refused(reply, "to look up a lease", "sys/leases/lookup", ("update",))

    def token(self, accessor: str) -> Reply | None:
        """Return the server's reply about a token; None if it does not exist."""
        reply = self._bao.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        if reply.good and reply.data.get("accessor") == accessor:
            return reply
        if reply.status in (400, 403, 404) and reply.mentions("invalid accessor"):
            return None
        if reply.good:
            raise unclear(self._target, "a token with another name")
        raise self._bao.refused(reply, "to look up a token", "auth/token/lookup-accessor", ("update",))

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
        return Probe(Life.DEAD, f"{description}; it has expired")
    return Probe(otherwise, description)
