"""Generator of jitid-targets(5) from the options of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jitid.capabilities.targets.settle import FIRST_AFTER
from jitid.issuers.target_issuer import TargetOption
from jitid.issuers.targets import COMMON, TIMEOUT, options_of
from jitid.model.credential import OUTSIDE, Kind
from jitid.model.target import LAST_AFTER
from tests.generate.roff import display, entries, paragraphs, prose, spaced

NAME = "jitid-targets.5"

_ABOUT: Mapping[Kind, str] = {
    Kind.JWT: "Tokens that jitid signs. Templates are for clusters, and for assertions to other authorization servers "
    "(jitid-oauth(7)).",
    Kind.OPAQUE: "Random tokens that only the ledger can verify. Templates have the options of `jwt` for clusters.",
    Kind.JWT_SVID: "SPIFFE tokens that jitid signs. Templates have the options of `jwt` for clusters.",
    Kind.SSH_CERT: "SSH user certificates that jitid signs. jitid-ssh(7) explains how to make hosts trust them.",
    Kind.X509_SVID: "X.509 certificates with a SPIFFE id. jitid signs them.",
    Kind.AWS_STS: "Sessions of AWS roles: jitid-aws(7). The extra `aws` is needed.",
    Kind.POSTGRES_ROLE: "Roles of a PostgreSQL server: jitid-postgres(7). The extra `postgres` is needed.",
    Kind.OPENBAO_LEASE: "Leases of an OpenBao or Vault server.",
    Kind.EXEC: "Credentials that a program creates: jitid-exec(7). Each target is a separate kind, `exec:TARGET`.",
}

_TEXT = """\
A target is an outside system that creates and revokes credentials for jitid: a database, a cloud, a secrets engine, a
program. Each target is a table `[target.NAME]` in the user's or the system's configuration file (jitid(1)); a
project's file cannot define targets. The name of a target or a template has 1 to 64 ASCII letters, digits and `_.-`;
it does not begin with a dot or a hyphen.

A template, `[target.NAME.template.TEMPLATE]`, defines the rights of a credential at the target. Request it with
`--kind KIND:TEMPLATE`, or with `--kind KIND:TARGET/TEMPLATE` if two targets of a kind have a template of that name.
Without a template, jitid uses the only target of the kind, and the credential has the least rights that the kind
allows. The fact `context.template` of a policy is `TARGET/TEMPLATE` (jitid-policy(7)).

No option contains a secret. An option for a secret names a private file that contains it (mode 0600 or 0400).
Relative paths start at the folder of the configuration file. jitid checks the tables against the options below when
it uses a target; jitid-doctor(1) checks them too."""

_PERMITTED = """\
The default policy permits no template and no kind of an outside target. A rule of the policy must name the kind or
the template:"""

_RULE = """\
@id("read-orders") @max_ttl("15m")
permit (
  principal == Agent::"reporter",
  action == Action::"issue",
  resource
)
when { context.kind == "postgres-role" &&
  context.template == "orders/reader" };
"""

_OBTAINED = """\
An agent can obtain such a credential with its own token only if the grant of the token names the kind: with
`jitid run --may-kind postgres-role:reader`, or with `--secret`, which adds its kind to the grant."""

_LIFE = """\
The ledger records a credential before it requests the credential from the target, and confirms the record before
jitid hands out the secret. The name of the credential at the target derives from its id. So jitid finds the
credential even if the target's answer was lost.

A credential ends in the ledger by jitid-revoke(1), by jitid-retire(1), at its expiry, or at the end of jitid-run(1).
The ledger then puts the credential into a queue. The credential stays there until the target confirms that it is
gone.

The command sends the request to the target at once. The authority sends it where no command can: for an agent that
ends its own identity, and at `/revoke`. Each jitid-sweep(1) repeats the requests that are due:"""

_OUTCOMES: Mapping[str, str] = {
    "unavailable": "The target was unreachable or gave no clear answer. jitid tries again after "
    f"{FIRST_AFTER} seconds. The wait doubles with each attempt, up to {LAST_AFTER // 60} minutes.",
    "stuck": "The target refuses. The credential stays in the queue and in lists. jitid tries again every hour.",
    "unsupported": "The target cannot revoke the credential and accepts it until its expiry. jitid-inspect(1) shows "
    "the time.",
}

_LEFT = """\
A target that was removed from the configuration keeps its place in the queue. Restore its table, so that jitid can
revoke the remaining credentials there.

The target also revokes an adopted standing secret (jitid-adopt-add(1)), although jitid did not create it. A
PostgreSQL role is locked and keeps the objects that it owns. An AWS access key becomes inactive. An OpenBao token is
revoked by its accessor. A program receives a request. The inventory of a target shows whether the secret still
exists."""


def text() -> str:
    """Return the page."""
    from tests.generate.man import DATE

    lines = [
        f".Dd {DATE}",
        ".Dt JITID-TARGETS 5",
        ".Os",
        ".Sh NAME",
        ".Nm jitid-targets",
        ".Nd outside systems that create and revoke credentials",
        ".Sh DESCRIPTION",
        *spaced(paragraphs(_TEXT)),
        ".Sh PERMISSIONS",
        *prose(_PERMITTED),
        *display(_RULE),
        ".Pp",
        *prose(_OBTAINED),
        ".Sh CREATION AND REVOCATION",
        *spaced(paragraphs(_LIFE)),
        *entries(
            ((f"Li {name}", prose(meaning)) for name, meaning in _OUTCOMES.items()), "-tag -width unsupported"
        ),
        ".Pp",
        *spaced(paragraphs(_LEFT)),
        ".Sh OPTIONS OF EVERY TARGET",
        *_options({**COMMON, "timeout": COMMON["timeout"]._replace(meaning=_timeout())}),
        ".Sh KINDS",
    ]
    for kind in Kind:
        options, of_templates = options_of(kind)
        if kind in OUTSIDE or options or of_templates:
            lines += [f".Ss {kind.value}", *prose(_ABOUT[kind]), *_options(options)]
            if of_templates:
                lines += ["Options of its templates:", *_options(of_templates)]
    lines += [
        ".Sh EXAMPLES",
        *display(_EXAMPLE),
        ".Sh SEE ALSO",
        ".Xr jitid 1 ,",
        ".Xr jitid-doctor 1 ,",
        ".Xr jitid-issue 1 ,",
        ".Xr jitid-revoke 1 ,",
        ".Xr jitid-sweep 1 ,",
        ".Xr jitid-aws 7 ,",
        ".Xr jitid-exec 7 ,",
        ".Xr jitid-policy 7 ,",
        ".Xr jitid-ssh 7 ,",
        ".Xr jitid-svid 7",
    ]
    return "\n".join(lines) + "\n"


def _timeout() -> str:
    return f"{COMMON['timeout'].meaning} (default: {TIMEOUT}s)"


_EXAMPLE = """\
[target.vault]
kind = "exec"
program = "/usr/local/libexec/jitid-vault"
timeout = "15s"

[target.vault.template.reader]
options = { path = "secret/reports" }
"""

_TYPES = {
    "text": "A text",
    "texts": "A list of texts",
    "table": "A table of texts",
    "count": "A whole number",
    "duration": "A duration",
    "place": "A path",
    "flag": "true or false",
    "tables": "Tables",
}


def _options(options: Mapping[str, TargetOption]) -> list[str]:
    return entries(_rows(options))


def _rows(options: Mapping[str, TargetOption]) -> Iterator[tuple[str, list[str]]]:
    for name, option in options.items():
        required = ", required" if option.required else ""
        yield f"Va {name}", prose(f"{_TYPES[option.sort]}{required}: {option.meaning}.")
