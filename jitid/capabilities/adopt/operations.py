"""Operations on standing secrets that were adopted: each with the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.formats.columns import Columns
from jitid.model.adopted import ADOPTED_NAME, MOST_SECRETS, StandingSecret
from jitid.operation.base import READS, Operation, rows_opt
from jitid.values.declaration import args, flag, local, opt, records, required_opt, value, values
from jitid.values.field_types import COUNT, DELEGATOR, REASON, filtered, kept_text, pattern, typed_as
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.adopt.adoption import AdoptedSecret, Adoption, Amended, Finished
    from jitid.capabilities.adopt.replacement import SecretReplacement
    from jitid.model.target import Probe


_PROOF = typed_as(REASON, parse=kept_text(1_000, "the proof").parse)
"""The action that ended a secret, in words."""


ADOPTED_FIELDS = (
    "name state owner=credential.delegator owner_state=credential.delegator_state agent place=adopted.place purpose "
    "sensitivity target reference prefix=adopted.prefix length=adopted.length adopted_at=credential.issued_at "
    "expires_at ended_at=credential.ended_at confirmed_at proof id jti fingerprint"
)


class Adopt(Operation["Adoption"]):
    """Adopt existing standing secrets, all or none."""

    # Adoption sets the owner of a secret and its means of revocation.
    roles = ("admin",)

    secrets: tuple[StandingSecret, ...] = records(least=1, most=MOST_SECRETS)
    content: str | None = value(pattern("[0-9a-f]{64}", "a SHA-256 in hexadecimal"), default=None)
    """SHA-256, as hex, of the file with the secrets."""
    dry_run: bool = False
    accept_clock: bool = False


class ChangeAdopted(Operation["AdoptedPage"]):
    """Change the recorded properties of adopted secrets."""

    roles = ("admin",)

    names: tuple[str, ...] = values(ADOPTED_NAME, least=1)
    amended: Amended
    accept_clock: bool = False


class EndAdopted(Operation["Finished"]):
    """Record that adopted secrets have ended where they are kept.

    --proof describes how they ended. jitid revokes them in the ledger too, and then records proof for their leaks.
    """

    # jitid stops looking for a secret that is recorded as ended.
    roles = ("responder", "admin")
    verb = "adopt end"
    function = "leak.adopt_verbs:ended"
    view = Columns("jitid.adopt-ended/1", "ended=done already revoked event", single=True)

    names: tuple[str, ...] = args(
        ADOPTED_NAME, "NAME...", help="Names of adopted secrets.", required=True, least=1
    )
    proof: str = required_opt(_PROOF, "--proof", help="How it ended, for the audit log.")
    accept_clock: bool = False


class AdoptedPage(Record):
    """Adopted secrets, and the time of their states."""

    secrets: list[AdoptedSecret]
    now: int


class ListAdopted(Operation["AdoptedPage"]):
    """List adopted secrets, the oldest first.

    The state is `standing` for a live secret, and `ended` for a secret that ended where it is kept. It is `unconfirmed`
    for a secret that ended in the ledger and may still work where it is kept.
    """

    roles = ("responder", "auditor", "admin")
    verb = "adopt list"
    function = "leak.adopt_verbs:list_"
    effect = READS
    view = Columns("jitid.adopt-list/1", ADOPTED_FIELDS, brief="name state owner place")

    names: tuple[str, ...] = values(ADOPTED_NAME, default=())
    """Only secrets of these names, the latest of each name."""
    owner: str | None = opt(
        filtered(DELEGATOR), "--owner", help="Only secrets of this owner.", metavar="DELEGATOR", default=None
    )
    """The owner, by any of their names."""
    live: bool = flag("--live", help="Only secrets that may still work.", default=False)
    """Only secrets that may still work: live here, or not known to have ended where they are kept."""
    after: int = value(COUNT, default=0)
    """The ledger's number of the last secret already seen."""
    limit: int = rows_opt()
    """The maximum number of secrets."""


class ProbeAdopted(Operation["list[Probed]"]):
    """Check at targets whether adopted secrets work.

    No secret is needed, and nothing is changed. A secret without an answer from its target is `unknown`, not `dead`.
    """

    roles = ("responder", "auditor", "admin")
    verb = "adopt probe"
    effect = READS
    view = Columns("jitid.adopt-probe/1", "name life=probe.life seen=probe.seen")

    names: tuple[str, ...] = args(
        ADOPTED_NAME, "NAME...", help="Names of adopted secrets.", required=True, least=1, most=100
    )


class Probed(Record):
    """The state of an adopted secret where it is kept."""

    name: str
    probe: Probe


class SuggestReplacements(Operation["list[SecretReplacement]"]):
    """Suggest replacements for adopted secrets.

    For each secret, print a kind of just-in-time credential, the target for the configuration, and a narrow policy.
    Print the commands that use the replacement and then end the secret. If no kind fits, print the reason.
    """

    summary = "Suggest replacements for adopted secrets, with configuration, policy and commands."
    roles = ("responder", "auditor", "admin")
    verb = "adopt suggest"
    function = "leak.adopt_verbs:suggest"
    effect = READS
    view = Columns("jitid.adopt-suggest/1", "name kind why configuration policy commands")

    names: tuple[str, ...] = args(
        ADOPTED_NAME, "[NAME]...", help="Names of adopted secrets.", least=1, most=100
    )
    all_: bool = local(flag("--all", help="All secrets that may still work."))
