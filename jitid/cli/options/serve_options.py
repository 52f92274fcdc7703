"""Options of access, `mcp`, `serve` and the helpers."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option
from jitid.model.caller import ROLES

# access
AccessName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A person or a service: user:NAME, system:NAME.", show_default=False),
]
AccessId = Annotated[
    str, typer.Argument(metavar="ACCESS", help="The id of an access credential.", show_default=False)
]
AccessSubjects = Annotated[
    list[str],
    typer.Argument(metavar="WHOSE...", help="Ids of access credentials, or names.", show_default=False),
]
BootstrapFile = Annotated[
    str,
    typer.Argument(metavar="FILE", help="The file to make; it must not be there yet.", show_default=False),
]
Roles = Annotated[
    list[str] | None,
    option("--role", metavar="ROLE", text=f"What they may do: {', '.join(ROLES)}; repeatable."),
]
OwnAudiences = Annotated[
    list[str] | None,
    option(
        "--audience",
        metavar="AUD",
        text="An audience of its own; repeatable. It sees tokens for these alone.",
    ),
]
AllAudiences = Annotated[
    bool, option("--all-audiences", metavar=None, text="Let it see tokens for any audience.")
]
AccessTtl = Annotated[
    str | None,
    option(
        "--ttl",
        metavar="DURATION",
        text="For how long (default: a bearer 12h and at most 30d, a key 30d and at most 365d).",
    ),
]
AccessKey = Annotated[
    str | None,
    option(
        "--key",
        metavar="FILE",
        text="Register the public key in FILE (JWK, PEM, OpenSSH); no bearer is made.",
    ),
]
AccessOut = Annotated[
    str | None, option("--out", metavar="FILE", text="Write the bearer to FILE, mode 0600.")
]
Overlap = Annotated[
    str | None,
    option(
        "--overlap",
        metavar="DURATION",
        text="How long the old bearer still counts (default: it does not).",
    ),
]
AllAccess = Annotated[bool, option("--all", metavar=None, text="Also what counts no longer.")]
OfName = Annotated[str | None, option("--name", metavar="NAME", text="Only what this person or service has.")]

# mcp
OwnTokenFile = Annotated[
    str | None,
    option(
        "--token-file",
        metavar="FILE",
        text="The token of the agent's own credential, read anew for each call.",
        variable="JITID_PARENT_FILE",
    ),
]
MostOut = Annotated[
    int | None,
    option("--most", metavar="N", text="Give out at most N identities at a time (default 100)."),
]
WriteRate = Annotated[
    int | None,
    option(
        "--rate",
        metavar="N",
        text="Write to the ledger at most N times a second (default 5), and 10 N at once.",
    ),
]
KeepOut = Annotated[
    bool, option("--keep", metavar=None, text="At the end, leave alive what was given and not handed back.")
]

# serve
Bind = Annotated[
    str | None,
    option(
        "--bind",
        metavar="HOST:PORT",
        text="Listen there (default 127.0.0.1:8477, unless there is a socket); beyond loopback only with TLS.",
    ),
]
Socket = Annotated[
    str | None,
    option("--socket", metavar="PATH", text="Listen on a Unix socket; the kernel says who connects."),
]
SocketMode = Annotated[
    str | None,
    option("--socket-mode", metavar="MODE", text="The mode of that socket (default 0660)."),
]
TlsCert = Annotated[
    str | None,
    option("--tls-cert", metavar="FILE", text="The certificate, and those above it (PEM)."),
]
TlsKey = Annotated[
    str | None,
    option("--tls-key", metavar="FILE", text="Its private key (PEM), readable by its owner alone."),
]
Workers = Annotated[
    int | None,
    option("--workers", metavar="N", text="How many processes answer (default 1)."),
]
PublicUrl = Annotated[
    str | None,
    option("--public-url", metavar="URL", text="How clients reach it, where that is another address."),
]
LogFormat = Annotated[
    str | None,
    option("--log-format", metavar="FMT", text="How requests are logged: json (default), text or none."),
]
Bootstrap = Annotated[
    str | None,
    option(
        "--bootstrap",
        metavar="FILE",
        text="Where there is no administrator yet: write into FILE, a new one, what lets the first one in.",
    ),
]
PrintUnit = Annotated[
    bool,
    option(
        "--print-unit",
        metavar=None,
        text="Print a hardened systemd service that runs this line, and serve nothing.",
    ),
]

# helper
Template = Annotated[
    str | None,
    option(
        "--template",
        metavar="TEMPLATE",
        text="What it is made from: the name of a template, or TARGET/TEMPLATE.",
    ),
]
PgService = Annotated[
    str | None,
    option(
        "--service",
        metavar="NAME",
        text="Write the section NAME of a service file, with all that a connection takes.",
    ),
]
GitOperation = Annotated[
    str, typer.Argument(metavar="OPERATION", help="What git calls: get, store or erase.", show_default=False)
]
DockerOperation = Annotated[
    str,
    typer.Argument(
        metavar="OPERATION", help="What docker calls: get, store, erase or list.", show_default=False
    ),
]
