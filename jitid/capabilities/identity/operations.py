"""Operations on a credential by the holder of its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import READS, Operation
from jitid.values.declaration import local, opt, optional_arg, opts, value
from jitid.values.field_types import AUDIENCE, FILE, FOLDER, ID, REASON, texts
from jitid.values.names import check_issuer

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation import HandedBack
    from jitid.model.credential import Credential
    from jitid.values.secret import Secret


class Verify(Operation["Credential"]):
    """Verify a token: exit 0 if it is valid, 8 if not.

    Checks signature, issuer, type, audience and expiry, and the ledger's state of the token and its ancestors. An
    invalid token is reported on standard error with the reason; a valid one prints nothing. With --published, or
    --jwks and --status-list, published keys and status lists replace the ledger.
    """

    summary = "Verify a token."
    roles = ("verifier", "responder", "auditor")
    for_own = True
    effect = READS
    verb = "verify"
    function = "identity.verify:verify"

    file: str | None = local(
        optional_arg(
            FILE,
            "[FILE]",
            help="File with a token (default: stdin).",
            verb_refuses_tokens=True,
        )
    )
    token: Secret
    audiences: tuple[str, ...] = opts(
        AUDIENCE, "--audience", help="Accept tokens for AUD; repeatable.", default=()
    )
    """The token must be for one of these audiences; empty: for any audience whose tokens the caller sees."""
    status_list: str | None = local(
        opt(FILE, "--status-list", help="Status list to use instead of a ledger.")
    )
    jwks: str | None = local(opt(FILE, "--jwks", help="With --status-list: the signing keys (JWKS)."))
    published: str | None = local(
        opt(FOLDER, "--published", help="Folder of `jitid publish` instead of a ledger.")
    )
    issuer: str | None = local(
        opt(
            texts(check_issuer, "ISS", {}),
            "--issuer",
            help="Without a ledger: accepted issuer (default: setting).",
        )
    )


class HandBack(Operation["HandedBack"]):
    """Revoke the identity of the token's holder, or one of its descendants."""

    for_anybody = True

    token: Secret
    """The holder's own credential, which authorises the operation."""
    id: str = value(ID)
    reason: str | None = value(REASON, default=None)
    accept_clock: bool = False

    def facts_if_denied(self) -> dict[str, object]:
        """Return the id of the identity that the request would end."""
        return {"hand_back": self.id}
