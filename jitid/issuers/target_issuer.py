"""Interface of the issuers whose target makes the credential: a database, a cloud, a secrets engine, a program.

Also the names of agents and tasks at targets; no two of them have the same name there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from jitid.errors import UsageError
from jitid.keys.keyring import Signer
from jitid.model.target import EndOutcome, Existing, MadeCredential, Probe, TargetRecord
from jitid.model.task import UNKNOWN_OWNER, written_task
from jitid.values.names import EPHEMERAL
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.text import label


class TargetOption(Record):
    """One option that the table of a target, or of a template, may have."""

    sort: str
    """`text`, `texts` (a list), `table` (of texts), `tables`, `count`, `duration`, `place` (a path) or `flag`.

    Issuers get the values as str, tuple[str, ...], dict[str, str], dict (unchanged TOML), int, int (seconds), str
    (absolute) and bool.
    """
    meaning: str
    required: bool = False


class KindOptions(Record):
    """The options in the configuration of a kind."""

    target: Mapping[str, TargetOption] = MappingProxyType({})
    """Of a target, besides the common ones."""
    template: Mapping[str, TargetOption] = MappingProxyType({})
    """Of its templates."""


CLUSTER_OPTIONS: Mapping[str, TargetOption] = {
    "kube_server": TargetOption(
        "text", "the address of a cluster's API server; `jitid run` sets KUBECONFIG for it"
    ),
    "kube_ca_file": TargetOption(
        "place", "CA certificates (PEM) for that server, on the machine of `jitid run`"
    ),
}
"""Template options that name the Kubernetes cluster for a token or a certificate."""


def cluster_facts(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about the cluster that the holder gets; empty if the template names no cluster."""
    return {name: options[name] for name in CLUSTER_OPTIONS if name in options}


class AdoptedReference(Record):
    """How a target of a kind finds a standing secret that jitid did not make."""

    meaning: str
    kept: Callable[[str], str | None]
    """Returns the text that the ledger keeps of a reference; None if no secret can have that reference."""


class TargetCall(Record):
    """The arguments of an issuer at a target, besides the target's table."""

    timeout: float
    """Seconds that one call of the target may take."""
    issuer: str
    """The ledger's `iss`."""
    trust_domain: str | None = None
    """The trust domain of the ledger's agents."""
    signer: Callable[[], Signer] | None = None
    """Returns the ledger's key for ES256, for targets that fetch jitid's keys."""


class OutsideIssuer(Protocol):
    """Credentials of one kind at one target. Every call ends within the target's time limit.

    Methods raise StorageError if the target is unreachable, hangs, or gives no clear answer (its effect is unknown);
    RefusedError if it refuses; ConfigurationError if the target's table is invalid.
    """

    unseen: ClassVar[str | None] = None
    """The credentials that the target cannot list, in a few words; None if `inventory` yields all live ones.

    If it is set, a credential that is missing from the inventory is neither confirmed as ended nor as clean.
    """

    def mint(self, record: TargetRecord, remember: Callable[[str], None]) -> MadeCredential:
        """Make the credential of a record that is already durable, under the record's name.

        `remember` stores a reference durably in the ledger before it returns. Call it with any reference that ending
        the credential requires and that cannot be derived from its name.
        """

    def revoke(self, records: Sequence[TargetRecord]) -> list[EndOutcome]:
        """Remove all traces of these credentials at the target, and return the outcome of each, in their order.

        Revoked, expired and never made credentials are treated alike: a credential that does not exist is done. The
        failure of one becomes its outcome; it raises no error.
        """

    def probe(self, record: TargetRecord, secret: Secret | None = None) -> Probe:
        """Check whether the target accepts a credential, with its secret as the holder, or without it from outside."""

    def names_of(self, name: str, reference: str | None) -> tuple[str, ...]:  # noqa: ARG002 - most issuers use the name alone
        """Return the inventory's names of the live parts of a credential with that name and reference."""
        return (name,)

    def expect(self, names: Collection[str]) -> None:  # noqa: ARG002 - most inventories need no further names
        """Set the names in the ledger (`names_of`); call it before `inventory`.

        If names do not identify jitid's credentials, only objects that are not among them are looked up one by one.
        """
        return

    def inventory(self) -> Iterator[Existing]:
        """Yield all objects at the target with names of jitid, and other standing secrets that the kind can list."""

    def close(self) -> None:
        """Close the connections."""


def agent_of(record: TargetRecord) -> str:
    """Return the displayed name of an agent; the name shows if the agent is not registered."""
    return record.agent if record.under_agent else f"{EPHEMERAL}/{record.agent}"


def proved_agent(record: TargetRecord, target: str) -> str:
    """Return the name of an agent for use where rights may depend on it.

    Raises UsageError for an agent that is not registered: its name was chosen by the requester.
    """
    if not record.under_agent:
        raise UsageError(
            f"a template of the target {target} uses `{{agent}}`, but the agent {label(record.agent)} is not "
            "registered; no credential was made",
            f"register the agent: jitid agent register {record.agent}; or use {{id}} in the template",
        )
    return record.agent


def task_of(record: TargetRecord, slash: str = "%2F") -> str:
    """Return `OWNER/NAME`: other owners may have a task of the same name. `slash` replaces each slash of the owner."""
    return written_task(record.task_opener or UNKNOWN_OWNER, record.task, slash)
