"""Options of adopted standing secrets."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

AdoptedName = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="The name of the secret, here.", show_default=False),
]
AdoptedNames = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Names of adopted secrets.", show_default=False),
]
ReplacedNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Names of adopted secrets.", show_default=False),
]
EveryStanding = Annotated[
    bool, option("--all", metavar=None, text="All that may still work where they are kept.")
]
AdoptedOne = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of an adopted secret.", show_default=False)
]
SecretOwner = Annotated[str | None, option("--owner", metavar="DELEGATOR", text="Who answers for it.")]
SecretPlace = Annotated[
    str | None, option("--place", metavar="TEXT", text="Where it is kept, as 'vault kv/prod/github'.")
]
SecretPurpose = Annotated[str | None, option("--purpose", metavar="TEXT", text="What it is for.")]
SecretAgent = Annotated[
    str | None, option("--agent", metavar="NAME", text="Who uses it (default: the name of the secret).")
]
SecretSensitivity = Annotated[
    str | None,
    option("--sensitivity", metavar="LEVEL", text="low, moderate (default), high or critical."),
]
SecretEnd = Annotated[
    str | None,
    option("--expires", metavar="TIME", text="When it ends by itself (RFC 3339; default: never)."),
]
SecretTarget = Annotated[
    str | None,
    option("--target", metavar="NAME", text="The target of the configuration that can end it."),
]
SecretReference = Annotated[
    str | None,
    option("--reference", metavar="TEXT", text="What it is called there: a role, a key's id, an accessor."),
]
SecretPrefix = Annotated[
    str | None,
    option("--prefix", metavar="TEXT", text="How it begins, as far as that is no secret, as ghp_."),
]
AccessKeyId = Annotated[
    str | None,
    option("--access-key-id", metavar="ID", text="Of a key of AWS: the part that is no secret."),
]
SecretFile = Annotated[
    str | None,
    option("--file", metavar="FILE", text="A file with the secret; standard input if absent or `-`."),
]
SecretPrint = Annotated[
    str | None,
    option("--fingerprint", metavar="HEX", text="SHA-256 of the secret, instead of the secret."),
]
PublicKeyFile = Annotated[
    str | None,
    option("--public-key", metavar="FILE", text="A public key or a certificate, instead of a secret."),
]
SecretsFile = Annotated[
    str | None,
    option("--from-file", metavar="FILE", text="Adopt all that FILE names; `-`: standard input."),
]
SecretsForm = Annotated[
    str | None, option("--as", metavar="FORM", text="csv or jsonl (default: by how FILE's name ends).")
]
MayWork = Annotated[bool, option("--live", metavar=None, text="Only what may still work where it is kept.")]
SecretProof = Annotated[
    str | None, option("--proof", metavar="TEXT", text="What was done; the audit log keeps it.")
]
