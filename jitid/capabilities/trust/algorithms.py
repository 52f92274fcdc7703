"""The signature algorithms of a ledger's tokens, by audience, and a change of that of service tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jitid.capabilities.trust.operations import AlgorithmChange, AlgorithmRow
from jitid.ledger.transaction import Transaction
from jitid.model.ledger_rows import Names
from jitid.model.signature_algorithm import ACCEPTED, INSIDE, Acceptance, choose

LEGACY = "ledger of an earlier version"


def rows(names: Names, configured: Mapping[str, str]) -> list[AlgorithmRow]:
    """Return the algorithm of each audience that has its own, and of all others: `*`."""
    inside = configured.get(names.issuer, INSIDE)
    default = names.service_algorithm or INSIDE
    listed = [
        AlgorithmRow(names.issuer, inside, _origin(names.issuer, configured), "identity tokens"),
        AlgorithmRow("*", default, "ledger", LEGACY if names.service_algorithm is None else "service tokens"),
    ]
    if names.service_algorithm is not None:
        listed += [
            AlgorithmRow(row.audience, choose(default, [row.audience], {}), "table", row.reason)
            for row in ACCEPTED
            if row.audience not in configured
        ]
    listed += [
        AlgorithmRow(audience, algorithm, "configuration", None)
        for audience, algorithm in configured.items()
        if audience != names.issuer
    ]
    return listed


def of_audience(listed: Sequence[AlgorithmRow], audience: str) -> str:
    """Return the algorithm of the tokens for an audience, by `rows`."""

    def nearness(row: AlgorithmRow) -> tuple[bool, int]:
        return row.audience == audience, len(row.audience)

    covering = [row for row in listed if Acceptance(row.audience, (), "").covers(audience)]
    return max(covering, key=nearness).algorithm


def _origin(audience: str, configured: Mapping[str, str]) -> str:
    return "configuration" if audience in configured else "ledger"


def change(transaction: Transaction, algorithm: str) -> AlgorithmChange:
    """Record the algorithm of later service tokens, in an exclusive transaction."""
    names = transaction.names
    if names.service_algorithm == algorithm:
        return AlgorithmChange(algorithm, algorithm, None)
    # Other processes read the names again after an event of a new epoch.
    transaction.begin_anew()
    event = transaction.append("key-algorithm", {"algorithm": algorithm, "was": names.service_algorithm})
    transaction.rename(names._replace(service_algorithm=algorithm, named_at=event.seq))
    return AlgorithmChange(algorithm, names.service_algorithm, event.seq)
