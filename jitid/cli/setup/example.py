"""`jitid example`: pieces to copy, such as alert rules and a verifier in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.setup import commands

EXAMPLES: Mapping[str, str] = {
    "verifier.py": "A service that verifies tokens with PyJWT and the published keys.",
    "prometheus-rules.yml": "Alert rules for the figures of sweep and report.",
    "slack.sh": "Post the findings of a sweep to Slack.",
    "webhook.sh": "Post each finding of a sweep to a webhook.",
    "systemd.sh": "Install systemd units of an authority and its sweep.",
    "Containerfile": "An authority in a container.",
}
"""Name of each example -> a sentence about it."""


def example(cli: Invocation, args: commands.ExampleCommand) -> None:
    """Perform `jitid example`."""
    if args.name is None:
        cli.show_records(args.view, [{"example": name, "about": text} for name, text in EXAMPLES.items()])
        return
    cli.expect_own_form()
    with open(os.path.join(FOLDER, args.name), encoding="utf-8") as file:
        output.write(file.read())


FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "examples")
