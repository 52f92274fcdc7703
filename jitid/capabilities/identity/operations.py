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
    """Say whether a token is valid: silent and 0 if it is, 8 with the reason on standard error if not.

    Signature, issuer, type, audience, expiry, the ledger's state of it and of everything it descends from
    are checked. The token is read from FILE or from standard input. With --published, or --jwks and --status-list,
    no ledger is asked: what was published says whether it was ended.
    """

    summary = "Say whether a token is valid now."
    roles = ("verifier", "responder", "auditor")
    for_own = True
    effect = READS
    verb = "verify"
    function = "identity.verify:verify"

    file: str | None = local(
        optional_arg(
            FILE,
            "[FILE]",
            help="A file with a token; standard input if absent or `-`.",
            verb_refuses_tokens=True,
        )
    )
    token: Secret
    audiences: tuple[str, ...] = opts(
        AUDIENCE, "--audience", help="Accept tokens meant for AUD; repeatable.", default=()
    )
    """The token must be for one of these audiences; empty: for any audience whose tokens the caller sees."""
    status_list: str | None = local(
        opt(FILE, "--status-list", help="Ask no ledger but this status list, which the token names.")
    )
    jwks: str | None = local(opt(FILE, "--jwks", help="With --status-list: the keys that sign both (JWKS)."))
    published: str | None = local(
        opt(FOLDER, "--published", help="Ask no ledger but what `jitid publish` wrote into DIR.")
    )
    issuer: str | None = local(
        opt(
            texts(check_issuer, "ISS", {}),
            "--issuer",
            help="Without a ledger: whose tokens are taken (default: the setting).",
        )
    )


class HandBack(Operation["HandedBack"]):
    """End the identity of the token's holder, or an identity that descends from it."""

    for_anybody = True

    token: Secret
    """The holder's own credential, which authorises the operation."""
    id: str = value(ID)
    reason: str | None = value(REASON, default=None)
    accept_clock: bool = False

    def facts_if_denied(self) -> dict[str, object]:
        """Return the id of the identity that the request would end."""
        return {"hand_back": self.id}
