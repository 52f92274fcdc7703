"""`jitid adopt suggest`: replacements of standing secrets, as configuration, policy and commands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.adopt.operations import ListAdopted, SuggestReplacements
from jitid.cli.invocation import Invocation
from jitid.errors import NotFoundError, UsageError
from jitid.system import output
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.capabilities.adopt.replacement import SecretReplacement
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority

_AT_ONCE = 100
_WIDTH = 100


def suggest(cli: Invocation, args: commands.AdoptSuggestCommand) -> None:
    """Perform `jitid adopt suggest`."""
    if bool(args.names) is args.all_:
        raise UsageError(
            "nothing is named" if not args.names else "--all and names contradict each other",
            "name adopted secrets, or all of them with --all",
        )
    authority = open_authority(cli.config())
    chosen_names = list(dict.fromkeys(args.names)) or list(_live_names(authority))
    if not chosen_names:
        raise NotFoundError("nothing is adopted that may still work", "see: jitid adopt list")
    replacements = [
        replacement
        for start in range(0, len(chosen_names), _AT_ONCE)
        for replacement in authority.perform(
            SuggestReplacements(names=tuple(chosen_names[start : start + _AT_ONCE]))
        )
    ]
    if cli.field is not None or cli.format_name() is not None:
        cli.show_records(args.view, replacements, partial(_computed, cli))
    else:
        output.write("\n".join(_text(cli, replacement) for replacement in replacements))


def _live_names(authority: Authority) -> Iterator[str]:
    """Yield the names of all secrets that may still work, each once."""
    after_key, seen_names = 0, set()
    while True:
        page = authority.perform(ListAdopted(live=True, after=after_key, limit=1_000))
        for secret in page.secrets:
            if secret.name not in seen_names:
                seen_names.add(secret.name)
                yield secret.name
        if len(page.secrets) < 1_000:
            return
        after_key = page.secrets[-1].credential.key


def _computed(cli: Invocation, replacement: SecretReplacement) -> dict[str, Any]:
    return {
        "configuration": replacement.table or None,
        "policy": replacement.policy or None,
        "commands": [cli.command(command) for command in replacement.commands],
    }


def _text(cli: Invocation, replacement: SecretReplacement) -> str:
    """Return a suggestion as a document with parts to copy into the configuration, the policy and a shell."""
    from textwrap import wrap

    lines = [f"# {safe(replacement.name)}: {replacement.kind or 'nothing fits'}"]
    lines += [f"# {line}" for line in wrap(replacement.why, _WIDTH)]
    for title, text in (("the configuration", replacement.table), ("the policy", replacement.policy)):
        if text:
            lines += ["", f"# For {title}:", *text.rstrip("\n").split("\n")]
    lines += ["", "# And then:", *(cli.command(command) for command in replacement.commands)]
    return "\n".join(lines) + "\n"
