"""Delivery of new secrets to their caller; undelivered secrets are revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import JitidError, OutputError, StorageError
from jitid.model.ledger_rows import Selection
from jitid.system import time_limit
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jitid.capabilities.issue.issue_result import Issued
    from jitid.operation.base import Authority


def hand_out(
    authority: Authority,
    issued: Sequence[Issued],
    show: Callable[[], None],
    *,
    warn: Callable[[str], None],
    command: Callable[[str], str],
) -> None:
    """Show new secrets; if that fails for any reason, revoke them.

    Raises:
        OutputError: they could not be written, and were revoked.
        StorageError: they could not be revoked either.

    """
    try:
        show()
    except BaseException as error:
        from jitid.capabilities.inventory.operations import Revoke

        ids = tuple(credential.jti for issuance in issued for credential in issuance.credentials)
        time_limit.take_back()
        try:
            ended = authority.perform(
                Revoke(
                    selection=Selection(ids=ids),
                    reason="its token could not be handed out",
                    closing=True,
                    most=None,
                )
            )
            if ended.unsettled:
                from jitid.authority.settle_at_targets import confirm_quietly

                confirm_quietly(authority, ended, warn)
        except JitidError as failure:
            arguments = ids[0] if len(ids) == 1 else f"--task {issued[0].task}"
            raise StorageError(
                f"delivery and revocation of the new credentials failed: {failure.message}",
                f"valid until {format_time(issued[0].expires_at)} unless revoked: "
                f"{command(f'jitid revoke {arguments}')}",
            ) from error
        if isinstance(error, OutputError):
            subject = (
                "the credential just made was"
                if len(ids) == 1
                else f"the {len(ids)} credentials just made were"
            )
            error.add(f"{subject} revoked")
        raise
