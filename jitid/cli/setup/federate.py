"""`jitid federate`: the configuration to enter at a vendor, and the check of a token by it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.trust import vendor_guide as trust
from jitid.capabilities.trust.vendor_guide import CHOSEN, CLAIMS, Guide
from jitid.errors import UsageError
from jitid.model.credential import exchanged_until
from jitid.model.federation import Federation, find
from jitid.model.vendor import VENDORS, Vendor
from jitid.system import output, read_input
from jitid.values.text import quote, safe
from jitid.values.times import format_duration, optional_time

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.cli.setup.commands import FederateCommand


def federate(cli: Invocation, args: FederateCommand) -> None:
    """Perform `jitid federate`."""
    if args.name is None:
        if args.check is not None or args.delegator is not None or args.agent is not None:
            raise UsageError("these options require NAME", "for all names: jitid federate")
        _list(cli, args)
        return
    found = find(args.name, cli.config().federations)
    audience = found.audience
    if audience is None:
        raise UsageError(
            f"the audience for {found.vendor.title} depends on the setting federate.{args.name}.provider",
            f"jitid config set federate.{args.name}.provider VALUE: {found.vendor.settings['provider'].meaning}",
        )
    guide = _guide(cli, args, found, audience)
    if args.check is not None:
        claims = trust.check(guide, read_input.token(args.check, "the token").reveal(), int(time.time()))
        cli.detail(f"accepted: {claims['jti']}")
        cli.note(
            f"{found.vendor.title} would accept `sub` {quote(str(claims['sub']), 300)}; an exchanged token "
            f"expires at the latest at {optional_time(exchanged_until(claims['exp'], found.lifetime))}"
        )
        return
    row = _row(cli, guide)
    if cli.field or cli.format_name() is not None:
        cli.show_records(args.view, [row], lambda each: each)
        return
    for line in _lines(guide, row):
        # The rest of a long line continues below the text of that line, and not below its name.
        key = re.match(r"  \S+ {2,}", line)
        output.write_line(safe(line), 4 if key is None else key.end())


def _list(cli: Invocation, args: FederateCommand) -> None:
    tables = cli.config().federations
    federations = [find(name, tables) for name in dict.fromkeys([*VENDORS, *tables])]
    cli.show_records(
        args.listed,
        federations,
        lambda each: {
            "vendor": each.vendor.title,
            "lifetime": format_duration(each.lifetime),
            "configured": each.name in tables,
            "missing": [*each.missing, *each.one_missing],
        },
    )


def _guide(cli: Invocation, args: FederateCommand, found: Federation, audience: str) -> Guide:
    config = cli.config()
    if (refused := config.subject_refused(audience)) is not None:
        raise refused
    return trust.guide_of(
        open_authority(config), config, _issuer(cli), found, audience, args.delegator, args.agent
    )


def _issuer(cli: Invocation) -> str:
    from jitid.authority.open import issuer

    found = issuer(cli.config())
    if found is None:
        raise UsageError(
            "there is no ledger yet, so that there are no keys", "jitid issue makes one at its first use"
        )
    return found


def _row(cli: Invocation, guide: Guide) -> dict[str, Any]:
    found, vendor = guide.federation, guide.vendor
    url = cli.config().text("publish_url")
    return {
        "name": guide.name,
        "vendor": vendor.title,
        "issuer": guide.issuer,
        "audience": guide.audience,
        "algorithm": guide.algorithm,
        "jwks_uri": None if url is None else f"{url}/jwks.json",
        "subject": guide.subject,
        "template": guide.template,
        "claims": [] if vendor.by_subject_alone else list(CLAIMS),
        "required": {claim: list(values) for claim, values in guide.required.items()},
        "token_lifetime": cli.config().number("ttl"),
        "exchanged_lifetime": found.lifetime,
        "missing": [f"federate.{guide.name}.{name}" for name in (*found.missing, *found.one_missing)],
        "settings": {
            name: found.settings.get(name, "")
            for name in ("audience", "subject", "lifetime", *vendor.settings)
        },
        "variables": sorted(
            {vendor.token_file, *(s.variable for s in vendor.settings.values() if s.variable is not None)}
        ),
        "hidden": sorted(vendor.hidden),
        "warnings": [*trust.warnings(guide), *_unpublished(vendor, url)],
        "jwks": guide.keys,
    }


_INLINE = {
    False: "inline, since `publish_url` is not set:",
    True: "fetched from the address of the issuer; `publish_url` is not set",
}


def _unpublished(vendor: Vendor, url: str | None) -> list[str]:
    """Return a warning if the vendor fetches the keys, and no address of published ones is set."""
    if url is not None or not vendor.fetches_keys:
        return []
    warning = (
        f"{vendor.title} fetches the keys from the address of the issuer: publish them there by `jitid publish`, and "
        "set `publish_url`"
    )
    return [warning]


def _lines(guide: Guide, row: Mapping[str, Any]) -> list[str]:
    """Return the configuration as lines of text: the values to enter there, the settings here, and notes."""
    vendor, found = guide.vendor, guide.federation
    compared = "exactly"
    if guide.subject.endswith("*"):
        compared = "as a prefix" if vendor.compares == "prefix" else "exactly there: name one, see the note"
    token, exchanged = format_duration(row["token_lifetime"]), format_duration(found.lifetime)
    if vendor.by_subject_alone:
        claims = ["  claims     none besides `sub` can be matched"]
    else:
        claims = [
            f"  required   {claim}: one of {', '.join(values)}" for claim, values in guide.required.items()
        ]
        claims.append(
            f"  claims     may be matched: {', '.join(CLAIMS)}; chosen by callers: {', '.join(CHOSEN)}"
        )
    lines = [
        f"{vendor.title}: enter there",
        f"  issuer     {guide.issuer}",
        f"  audience   {guide.audience}",
        f"  algorithm  {guide.algorithm}",
        f"  subject    {guide.subject} (compared {compared}; template: {guide.template or 'the root delegator'})",
        *claims,
        f"  lifetime   of a token: {token}; of an exchanged token: {exchanged} more, without revocation",
        f"  keys       {row['jwks_uri'] or _INLINE[vendor.fetches_keys]}",
    ]
    if row["jwks_uri"] is None and not vendor.fetches_keys:
        lines += [f"    {line}" for line in json.dumps(guide.keys, indent=2).splitlines()]
    lines.append(f"Set here, in [federate.{guide.name}]:")
    for name, setting in vendor.settings.items():
        is_missing = name in found.missing or name in found.one_missing
        state = found.settings.get(name) or ("missing" if is_missing else "not set")
        reads = f", read as {setting.variable}" if setting.variable else ""
        lines.append(f"  {name:<16} {state} ({setting.meaning}{reads})")
    lines.append(
        f"A command gets them by: jitid run --task TASK --delegator NAME --for {guide.name} -- COMMAND"
    )
    lines.append(f"  hidden from it: {', '.join(row['hidden'])}")
    if vendor.note:
        lines.append(f"  {vendor.note}")
    return lines + [f"Note: {warning}" for warning in row["warnings"]]
