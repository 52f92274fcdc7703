"""Verification with the ledger at different numbers of revocations, against bare verification of the signature."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.authority.local import LocalAuthority
from jitid.capabilities.identity.operations import Verify
from jitid.capabilities.inventory.operations import Revoke
from jitid.model.ledger_rows import Selection
from jitid.values.secret import Secret
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, in_turns, per_second, rate

_TOKENS = 1_000
_REVOCATIONS = (0, 100, 100_000)


def rows(place: Ground) -> Iterator[Row]:
    """Measure `verify` of live tokens while the number of revoked ones grows."""
    folder = place.new("verify")
    authority = ground.authority(folder / "ledger")
    tokens = _issue(authority, _TOKENS, "live")
    length = len(tokens[0].reveal().rpartition(".")[0])
    revoked = 0
    for wanted in _REVOCATIONS:
        if wanted > revoked:
            _issue(authority, wanted - revoked, "leaked")
            authority.perform(Revoke(selection=Selection(agents=("leaked",)), most=None))
            revoked = wanted
        found = in_turns(
            place.rounds,
            {
                "raw": lambda: peers.verifications(_TOKENS, length),
                "ledger": lambda: rate(
                    _TOKENS, lambda: [authority.perform(Verify(token=token)) for token in tokens]
                ),
            },
        )
        yield Row(
            f"`verify` with the ledger, {wanted:,} revocations on file",
            Series("verify", found["ledger"], per_second),
            Series("Ed25519 verify", found["raw"], per_second),
            at_least(0.33),
        )
    authority.close()


def _issue(authority: LocalAuthority, count: int, agent: str) -> list[Secret]:
    """Issue tokens to an agent, a hundred for each task."""
    requests = [
        ground.request(number)._replace(task=f"{agent}-{number // 100}-{count}", agent=agent, copies=100)
        for number in range(0, count, 100)
    ]
    made = []
    for start in range(0, len(requests), 10):
        for one in ground.issue(authority, requests[start : start + 10]):
            made += [credential.secret for credential in one.credentials]
    return made
