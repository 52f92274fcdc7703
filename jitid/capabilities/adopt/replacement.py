"""Suggest a replacement for a standing secret: a kind that jitid makes just in time, and its setup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from shlex import quote as word

from jitid.capabilities.adopt.adoption import AdoptedSecret
from jitid.model.credential import Kind, is_target_name
from jitid.model.target import BY_HAND
from jitid.policy.cedar_text import entity, string
from jitid.values.record import Record
from jitid.values.text import operand, safe
from jitid.values.times import format_duration

_TTL = {"low": 3_600, "moderate": 900, "high": 900, "critical": 300}
"""Maximum lifetime of the replacement in seconds, by the sensitivity of the secret."""
_LEAST_OF_AWS = 900
_NEW = {Kind.POSTGRES_ROLE: "db", Kind.AWS_STS: "aws", Kind.OPENBAO_LEASE: "bao"}
"""The name of a new target, by kind."""
_LONGEST_NAME = 40
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


class SecretReplacement(Record):
    """The suggested replacement for a secret."""

    name: str
    kind: str | None
    """None if no kind can replace it."""
    why: str
    """Why this kind, or why none, in sentences."""
    table: str
    """The missing configuration, in TOML; empty if none is missing."""
    policy: str
    """A policy that permits exactly that, in Cedar; empty without a kind."""
    commands: tuple[str, ...]
    """The commands that set up and use the replacement, and that end the secret."""


class _Fit(Record):
    kind: Kind | None
    why: str
    setup: tuple[str, ...] = ()
    """Commands before the first use."""
    target: str = "service"
    """The name of a new target."""


_PROGRAM = (
    "{service} issues short-lived tokens to an app that authenticates. Write a program that requests such tokens and "
    "revokes them (jitid-exec(7))"
)
_BY_PREFIX: tuple[tuple[tuple[str, ...], _Fit], ...] = (
    (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        _Fit(Kind.EXEC, _PROGRAM.format(service="GitHub"), target="github"),
    ),
    (("glpat-", "gldt-", "glrt-"), _Fit(Kind.EXEC, _PROGRAM.format(service="GitLab"), target="gitlab")),
    (
        ("hvs.", "hvb."),
        _Fit(
            Kind.OPENBAO_LEASE,
            "it is a token of OpenBao: tokens and leases for single tasks replace it",
        ),
    ),
    (
        ("ssh-", "ecdsa-sha2-", "sk-ssh-", "-----BEGIN OPENSSH"),
        _Fit(
            Kind.SSH_CERT,
            "it is an SSH key: certificates that hosts accept for minutes replace it (jitid-ssh(7))",
            ("jitid keys export ssh > jitid_ca.pub",),
        ),
    ),
    (
        ("-----BEGIN",),
        _Fit(
            Kind.X509_SVID,
            "it is a key or a certificate: X.509 certificates with a SPIFFE id replace it for authentication in TLS "
            "(jitid-svid(7)); for SSH, use ssh-cert",
            ("jitid keys export bundle > trust.pem",),
        ),
    ),
)
_PEM = "-----BEGIN"
_OF_SSH = ("ssh", "sshd", "authorized_keys", "bastion")
_BY_WORD: tuple[tuple[tuple[str, ...], _Fit], ...] = (
    (
        ("postgres", "postgresql", "psql", "pgbouncer"),
        _Fit(
            Kind.POSTGRES_ROLE,
            "it opens a PostgreSQL database: a separate role for each task replaces it",
        ),
    ),
    (
        ("aws", "iam", "s3"),
        _Fit(Kind.AWS_STS, "it is for AWS: sessions of a role replace the key of a user"),
    ),
    (
        ("openbao", "bao"),
        _Fit(Kind.OPENBAO_LEASE, "it is for OpenBao: tokens and leases for single tasks replace it"),
    ),
    (
        _OF_SSH,
        _Fit(
            Kind.SSH_CERT,
            "it opens hosts by SSH: certificates that hosts accept for minutes replace it (jitid-ssh(7))",
            ("jitid keys export ssh > jitid_ca.pub",),
        ),
    ),
    (("github",), _Fit(Kind.EXEC, _PROGRAM.format(service="GitHub"), target="github")),
    (("gitlab",), _Fit(Kind.EXEC, _PROGRAM.format(service="GitLab"), target="gitlab")),
)
_BY_KIND: Mapping[str, _Fit] = {
    Kind.POSTGRES_ROLE: _Fit(
        Kind.POSTGRES_ROLE,
        "its target makes roles for single tasks: members of this role, with only its rights",
    ),
    Kind.AWS_STS: _Fit(Kind.AWS_STS, "its target makes sessions of roles: they replace the key of a user"),
    Kind.OPENBAO_LEASE: _Fit(Kind.OPENBAO_LEASE, "its target makes tokens and leases for single tasks"),
}
_NOTHING = _Fit(
    None,
    "no kind of jitid is known to replace it. If the service can verify tokens, use a `jwt` (jitid-oauth(7)). If it "
    "has an API that creates and revokes credentials, write a program for that (jitid-exec(7)). Otherwise set an "
    "expiry (--expires), and replace the secret before that",
)


def suggest(secret: AdoptedSecret, targets: Mapping[str, str]) -> SecretReplacement:
    """Return the suggested replacement for a secret; `targets` are the configured targets with their kinds."""
    fit, existing_target = _fit(secret), None
    if fit.kind is not None:
        existing_target = _target(secret, fit.kind, targets)
    if fit.kind is None:
        return SecretReplacement(secret.name, None, fit.why, "", "", tuple(_end(secret, "another secret")))
    template = _plain(secret.name)
    target = existing_target or _NEW.get(fit.kind, fit.target)
    kind = f"{fit.kind}:{target}" if fit.kind is Kind.EXEC else fit.kind.value
    made_from = f"{kind}:{template}" if fit.kind is Kind.EXEC else f"{kind}:{target}/{template}"
    needs_target = fit.kind not in (Kind.SSH_CERT, Kind.X509_SVID)
    replacement_kind = made_from if needs_target else kind
    return SecretReplacement(
        secret.name,
        replacement_kind,
        fit.why,
        "".join(_table(secret, fit.kind, target, template, configured=existing_target is not None))
        if needs_target
        else "",
        _policy(secret, kind, f"{target}/{template}" if needs_target else None),
        (*fit.setup, _run(secret, replacement_kind), *_end(secret, replacement_kind)),
    )


def _fit(secret: AdoptedSecret) -> _Fit:
    kind = str(secret.outside.facts.get("kind", ""))
    if secret.outside.record.target != BY_HAND:
        if kind.partition(":")[0] == Kind.EXEC:
            return _Fit(Kind.EXEC, "its target is a program that makes such credentials for single tasks")
        if kind in _BY_KIND:
            return _BY_KIND[kind]
    prefix = secret.adopted.prefix or ""
    keywords = set(
        re.findall(
            r"[a-z0-9_]+", f"{secret.adopted.place} {secret.credential.purpose or ''} {secret.name}".lower()
        )
    )
    if prefix.startswith(_PEM) and not keywords.isdisjoint(_OF_SSH):
        # SSH accepts keys of any format.
        prefix = "ssh-"
    for beginnings, fit in _BY_PREFIX:
        if prefix.startswith(beginnings):
            return fit
    for words, fit in _BY_WORD:
        if not keywords.isdisjoint(words):
            return fit
    return _NOTHING


def _target(secret: AdoptedSecret, kind: Kind, targets: Mapping[str, str]) -> str | None:
    """Return the existing target: the secret's own, or the only target of the kind."""
    own_target = secret.outside.record.target
    if own_target != BY_HAND:
        return own_target
    names = [name for name, target_kind in targets.items() if target_kind.partition(":")[0] == kind]
    return names[0] if len(names) == 1 else None


def _table(
    secret: AdoptedSecret, kind: Kind, target: str, template: str, *, configured: bool
) -> Iterator[str]:
    """Yield the lines of the configuration; values that only its owner knows are in capitals."""
    if not configured:
        yield f"[target.{_key(target)}]\nkind = {_text(kind.value)}\n"
        yield {
            Kind.POSTGRES_ROLE: 'dsn = "postgresql://MAKER@HOST/DATABASE"\n'
            'password_file = "/etc/jitid/MAKER.password"\n',
            Kind.AWS_STS: 'region = "REGION"\ncredentials_file = "/etc/jitid/aws.credentials"\n',
            Kind.OPENBAO_LEASE: 'address = "https://BAO:8200"\ntoken_file = "/etc/jitid/bao.token"\n',
            Kind.EXEC: 'program = "/usr/local/libexec/PROGRAM"\n',
        }[kind]
        yield "\n"
    yield f"[target.{_key(target)}.template.{_key(template)}]\n"
    reference = None if secret.outside.record.target == BY_HAND else secret.outside.record.name
    yield {
        # A locked role keeps its rights, and its members get them.
        Kind.POSTGRES_ROLE: f"member_of = [{_text(reference or 'ROLE')}]\n",
        Kind.AWS_STS: f'role_arn = "arn:aws:iam::ACCOUNT:role/{template}"\n',
        Kind.OPENBAO_LEASE: f"policies = [{_text(template)}]\n",
        Kind.EXEC: f"options = {{ for = {_text(secret.name)} }}\n",
    }[kind]


def _policy(secret: AdoptedSecret, kind: str, template: str | None) -> str:
    credential = secret.credential
    lifetime = max(_TTL[credential.sensitivity], _LEAST_OF_AWS if kind == Kind.AWS_STS else 0)
    conditions = [
        f"context.delegator in [{entity('Delegator', credential.delegator)}]",
        f"context.kind == {string(kind)}",
        f"context.template == {string(template or '')}",
        "context.depth == 0",
    ]
    name = string(f"instead-of-{_plain(secret.name)}")
    head = (
        f"principal == {entity('Agent', credential.agent)}, action == {entity('Action', 'issue')}, resource"
    )
    body = "\n  && ".join(conditions)
    return f"@id({name}) @max_ttl({string(format_duration(lifetime))})\npermit ({head})\nwhen {{\n  {body}\n}};\n"


def _run(secret: AdoptedSecret, kind: str) -> str:
    credential = secret.credential
    arguments = [
        "jitid run --task TASK",
        f"--delegator {word(credential.delegator)}",
        f"--agent {word(credential.agent)}",
        f"--sensitivity {credential.sensitivity}",
        f"--purpose {word(safe(credential.purpose or ''))}",
        f"--secret {_variable(secret.name)}={kind}",
        "-- COMMAND",
    ]
    return " ".join(arguments)


def _end(secret: AdoptedSecret, replacement: str) -> Iterator[str]:
    task = secret.credential.task
    if secret.credential.ended_as is None:
        yield f"jitid revoke --task {word(task)} --reason {word(f'replaced by {replacement}')}"
    if secret.outside.record.target == BY_HAND and not secret.confirmed:
        yield f"jitid adopt end --proof {word(f'deleted at {safe(secret.adopted.place)}')} {operand(secret.name)}"
    yield f"jitid retire {operand(task)}"


def _plain(name: str) -> str:
    """Return a name with the characters that templates and rules allow."""
    plain = _UNFIT.sub("-", name).strip("-")[:_LONGEST_NAME] or "adopted"
    return plain if is_target_name(plain) else f"t{plain}"


def _variable(name: str) -> str:
    """Return a name that `run` accepts for a secret: lower case letters, digits and underscores."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:32] or "secret"
    return plain if plain[0].isalpha() else f"s{plain}"


def _key(name: str) -> str:
    return name if _UNFIT.search(name) is None else _text(name)


def _text(text: str) -> str:
    # The basic strings of TOML have the escapes of JSON.
    return json.dumps(text)
