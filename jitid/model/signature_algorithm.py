"""The signature algorithm of a token, by its audience."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jitid.errors import UsageError
from jitid.values.record import Record
from jitid.values.text import quote

INSIDE = "EdDSA"
"""The algorithm of identity tokens: only the authority reads them."""
FOR_SERVICES = "ES256"
"""The algorithm of a new ledger's service tokens: every verifier that was tried accepts it."""

PREFERENCE = ("ES256", "RS256", "EdDSA")
"""The algorithms in the order of the number of verifiers that accept them and of their cost."""


class Acceptance(Record):
    """The algorithms that the verifier of an audience accepts."""

    audience: str
    """With `*` at its end, it stands for every audience that begins so."""
    algorithms: tuple[str, ...]
    """In order of preference."""
    reason: str

    def covers(self, audience: str) -> bool:
        """Return whether an audience is this verifier's."""
        if self.audience.endswith("*"):
            return audience.startswith(self.audience[:-1])
        return audience == self.audience


ACCEPTED = (
    Acceptance("api://AzureADTokenExchange", ("RS256",), "Entra accepts RSA keys only"),
    Acceptance("api://AzureADTokenExchangeUSGov", ("RS256",), "Entra accepts RSA keys only"),
    Acceptance("api://AzureADTokenExchangeChina", ("RS256",), "Entra accepts RSA keys only"),
    Acceptance("sts.amazonaws.com", ("ES256", "RS256"), "AWS refuses EdDSA"),
    Acceptance("//iam.googleapis.com/*", ("ES256", "RS256"), "Google refuses EdDSA"),
    Acceptance("https://iam.googleapis.com/*", ("ES256", "RS256"), "Google refuses EdDSA"),
    Acceptance("https://kubernetes.default.svc*", ("ES256", "RS256"), "Kubernetes refuses EdDSA"),
    Acceptance("https://api.anthropic.com*", ("ES256", "RS256"), "the accepted algorithms are not published"),
    Acceptance("https://api.openai.com*", ("ES256", "RS256"), "the accepted algorithms are not published"),
)
"""The audiences whose verifiers do not accept every algorithm: the one place for these facts."""


def accepted_by(audience: str) -> Acceptance | None:
    """Return the algorithms that an audience accepts; None for an audience that is not in the table."""
    return next((row for row in ACCEPTED if row.covers(audience)), None)


def choose(default: str, audiences: Iterable[str], configured: Mapping[str, str]) -> str:
    """Return the algorithm of a token to these audiences: `default`, unless one of them does not accept it.

    `configured` says for an audience which algorithm it requires; this takes precedence over `ACCEPTED`.

    Raises UsageError if the audiences have no algorithm in common.
    """
    accepted: dict[str, tuple[str, ...]] = {}
    for audience in audiences:
        if audience in configured:
            accepted[audience] = (configured[audience],)
        elif (row := accepted_by(audience)) is not None:
            accepted[audience] = row.algorithms
    for algorithm in (default, *PREFERENCE):
        if all(algorithm in algorithms for algorithms in accepted.values()):
            return algorithm
    each = ", ".join(
        f"{quote(audience)} accepts {' or '.join(algorithms)}" for audience, algorithms in accepted.items()
    )
    raise UsageError(
        f"no signature algorithm is accepted by all audiences: {each}; nothing was issued",
        "request one token for each of them",
    )
