"""A process that issues or revokes repeatedly, and prints each change after its commit: `worker FOLDER VERB`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import NotFoundError
from tests.builders import World


def main() -> None:
    """Work until the process is killed."""
    folder, verb = sys.argv[1:]
    world = World(Path(folder), now=int(time.time()))
    number = 0
    while True:
        number += 1
        world.clock.now = int(time.time())
        if verb == "issue":
            kind = ("opaque", "jwt")[number % 2]
            print(world.issue(kind=kind, task=f"T{number % 7}").token, flush=True)
            continue
        with world.ledger.read() as snapshot:
            found = CredentialStore(snapshot).credentials(
                Filter(live=True), "issued_at", descending=number % 2 == 0, after=None, limit=1
            )
        try:
            for credential in found:
                world.revoke(credential.jti)
                print(credential.jti, flush=True)
        except NotFoundError:
            continue


if __name__ == "__main__":
    main()
