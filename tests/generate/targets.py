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
    Kind.JWT: "Tokens, signed here; templates are for clusters.",
    Kind.OPAQUE: "Tokens that nobody but the ledger knows, made here; templates are as those of `jwt`.",
    Kind.JWT_SVID: "SPIFFE's tokens, signed here; templates are as those of `jwt`.",
    Kind.SSH_CERT: "SSH user certificates, signed here; jitid-ssh(7) tells how hosts come to trust them.",
    Kind.X509_SVID: "X.509 certificates with a SPIFFE id, signed here.",
    Kind.AWS_STS: "Sessions of AWS roles: jitid-aws(7). The extra `aws` is needed.",
    Kind.POSTGRES_ROLE: "Roles of a PostgreSQL server: jitid-postgres(7). The extra `postgres` is needed.",
    Kind.OPENBAO_LEASE: "Leases of an OpenBao or Vault server.",
    Kind.EXEC: "Whatever a program of one's own makes: jitid-exec(7). Each target is a kind of its own, `exec:TARGET`.",
}

_TEXT = """\
A target is a place where credentials are made, and ended: a database, a cloud, a secrets engine, a program. Each is
a table `[target.NAME]` in the user's or the system's configuration file (jitid(1)), never in a project's. A name
has letters, digits, dots and lines, 64 at most.

A template, `[target.NAME.template.TEMPLATE]`, says what a credential may do there. It is asked for by `--kind
KIND:TEMPLATE`, or `--kind KIND:TARGET/TEMPLATE` where two targets of a kind have one of that name. Without a
template the only target of the kind is taken, and what it makes can do as little as the kind allows. Policies are
told `context.template` as `TARGET/TEMPLATE` (jitid-policy(7)).

No option holds a secret: where one is needed, an option names a private file with it (mode 0600 or 0400). Relative
paths begin in the folder of the configuration file. Tables are held to the options below when a target is used, and
by jitid-doctor(1)."""

_PERMITTED = """\
The default policy permits no kind of a target, and no template: a rule of the policy must name it."""

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
An agent obtains it by its own token only if the grant of the token names it: `jitid run --may-kind
postgres-role:reader`, or `--secret`, which names its kind by itself."""

_LIFE = f"""\
What a target makes is recorded before it is asked for, and confirmed before it is handed out. What it is called
there derives from its id, so that it is found though an answer was lost.

Whatever ends a credential in the ledger (jitid-revoke(1), jitid-retire(1), its expiry, the end of a jitid-run(1))
puts it into a queue of the ledger, where it stays until the target confirms that nothing is left of it. The command
asks at once, and an authority where no command can: for an agent that ends itself, and at `/revoke`; a target that is
out of reach is asked again after {FIRST_AFTER} seconds, twice as long each time, up to {LAST_AFTER // 60} minutes, by
each jitid-sweep(1). What a target refuses (`stuck`) is kept, listed and tried every hour; what it cannot end
(`unsupported`) is honoured until its time is over, and jitid-inspect(1) says until when.

A target that is taken out of the configuration keeps its place in the queue: put it back, so that what is left
there can be ended.

A standing secret that was adopted (jitid-adopt-add(1)) is ended by its target in the same way, though it was made by
somebody else: a role of PostgreSQL is locked and keeps what it owns, an access key of AWS is made inactive, a token
of OpenBao is revoked by its accessor, and a program is asked. The inventory of a target tells whether it is there."""


def text() -> str:
    """Return the page."""
    from tests.generate.man import DATE

    lines = [
        f".Dd {DATE}",
        ".Dt JITID-TARGETS 5",
        ".Os",
        ".Sh NAME",
        ".Nm jitid-targets",
        ".Nd places outside where credentials are made and ended",
        ".Sh DESCRIPTION",
        *spaced(paragraphs(_TEXT)),
        ".Sh WHO MAY OBTAIN ONE",
        *prose(_PERMITTED),
        *display(_RULE),
        ".Pp",
        *prose(_OBTAINED),
        ".Sh WHAT BECOMES OF A CREDENTIAL",
        *spaced(paragraphs(_LIFE)),
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
    return f"{COMMON['timeout'].meaning}; {TIMEOUT}s unless set"


_EXAMPLE = """\
[target.vault]
kind = "exec"
program = "/usr/local/libexec/jitid-vault"
timeout = "15s"

[target.vault.template.reader]
options = { path = "secret/reports" }
"""

_SORTS = {
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
        needed = ", needed" if option.required else ""
        yield f"Va {name}", prose(f"{_SORTS[option.sort]}{needed}: {option.meaning}.")
