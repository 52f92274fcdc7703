"""A process that issues and revokes repeatedly, and records each answer: `writer FILE`.

The configuration comes from the environment, as for the command line, so that the same writer works on a ledger and
through an authority. Each line of the file is one answer: `issued JTI`, `revoked JTI`, `failed`, or, for an
unexpected error, `wrong` and its reason. A line is written after its answer, by a single write.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from jitid.authority import open as authority_open
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.issue.operations import Issue
from jitid.config import effective
from jitid.errors import StorageError
from jitid.model.ledger_rows import Selection
from jitid.model.request import IssueRequest
from jitid.operation.base import Authority

ISSUED, REVOKED, FAILED, WRONG = "issued", "revoked", "failed", "wrong"


def main() -> None:
    """Work until the process is killed. After a failure, open a new authority, as a new command would."""
    (file,) = sys.argv[1:]
    to = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(*words: str) -> None:
        os.write(to, (" ".join(words) + "\n").encode())

    number = 0
    while True:
        try:
            authority = authority_open.open_authority(effective.load())
            try:
                while True:
                    number += 1
                    _round(authority, number, tell)
            finally:
                authority.close()
        except StorageError:
            tell(FAILED)
        except Exception as error:  # noqa: BLE001 - no error at all is expected
            tell(WRONG, type(error).__name__, str(error).replace("\n", " "))


def _round(authority: Authority, number: int, tell: Callable[..., None]) -> None:
    request = IssueRequest(f"T{number % 5}", "user:alice", "agent", kind=("jwt", "opaque")[number % 2])
    (issued,) = authority.perform(Issue(requests=(request,)))
    jti = issued.credentials[0].jti
    tell(ISSUED, jti)
    if number % 3 == 0:
        authority.perform(Revoke(selection=Selection(ids=(jti,)), most=None))
        tell(REVOKED, jti)


if __name__ == "__main__":
    main()
