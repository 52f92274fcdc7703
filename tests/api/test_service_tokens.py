"""The service tokens that an identity keeps: when they are replaced, and when an earlier one must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitid.api.service_tokens import ServiceTokens
from jitid.capabilities.issue.issue_result import Issued
from jitid.errors import BusyError, IntegrityError, JitidError, PolicyDeniedError
from jitid.values.secret import Secret
from tests.builders import NOW, Clock, World


class Source:
    """A source of tokens that live for 900 seconds, or of an error."""

    def __init__(self, issued: Issued, clock: Clock) -> None:
        self._issued = issued
        self._clock = clock
        self.made: list[str] = []
        self.error: JitidError | None = None
        self.text = "token-{}"

    def attach(self, audience: str) -> Issued:
        """Return a new token."""
        if self.error is not None:
            raise self.error
        self.made.append(audience)
        (credential,) = self._issued.credentials
        token = Secret.single(self.text.format(len(self.made)))
        return self._issued._replace(
            credentials=(credential._replace(secret=token),),
            issued_at=self._clock.now,
            expires_at=self._clock.now + 900,
        )


@pytest.fixture
def clock() -> Clock:
    """Return a clock that the test sets."""
    return Clock()


@pytest.fixture
def source(tmp_path: Path, clock: Clock) -> Source:
    """Return a source of tokens."""
    with World(tmp_path / "ledger") as world:
        return Source(world.issue().issued, clock)


def test_a_refused_token_is_replaced_once(source: Source, clock: Clock) -> None:
    tokens = ServiceTokens(source.attach, clock, NOW + 86_400)
    assert tokens.get("a").reveal() == "token-1"
    # It was just obtained: another one would be refused as well.
    assert not tokens.refused("a", "token-1")
    clock.now += 60
    assert tokens.refused("a", "token-1")
    assert tokens.get("a").reveal() == "token-2"
    # Another thread presented the earlier token, too.
    assert tokens.refused("a", "token-1")
    assert tokens.get("a").reveal() == "token-2"
    assert not tokens.refused("a", "token-2")


def test_a_token_is_replaced_after_two_thirds_of_its_lifetime(source: Source, clock: Clock) -> None:
    tokens = ServiceTokens(source.attach, clock, NOW + 86_400)
    seen = []
    for second in (0, 599, 600, 1_199, 1_200):
        clock.now = NOW + second
        seen.append(tokens.get("a").reveal())
    assert seen == ["token-1", "token-1", "token-2", "token-2", "token-3"]
    assert tokens.get("b").reveal() == "token-4"
    assert tokens.fresh("a").reveal() == "token-5"
    assert tokens.get("a").reveal() == "token-3"


def test_a_token_that_cannot_live_longer_is_kept_to_its_end(source: Source, clock: Clock) -> None:
    tokens = ServiceTokens(source.attach, clock, NOW + 900)
    tokens.get("a")
    clock.now = NOW + 899
    assert tokens.get("a").reveal() == "token-1"


def test_an_earlier_token_serves_during_a_temporary_failure_alone(source: Source, clock: Clock) -> None:
    tokens = ServiceTokens(source.attach, clock, NOW + 86_400)
    tokens.get("a")
    source.error = BusyError("busy")
    for second in (600, 604, 606, 899):
        clock.now = NOW + second
        assert tokens.get("a").reveal() == "token-1"
    clock.now = NOW + 900
    with pytest.raises(BusyError):
        tokens.get("a")
    clock.now = NOW + 601
    source.error = PolicyDeniedError("denied")
    tokens.clear()
    with pytest.raises(PolicyDeniedError):
        tokens.get("a")


def test_a_refusal_is_raised_although_an_earlier_token_works(source: Source, clock: Clock) -> None:
    tokens = ServiceTokens(source.attach, clock, NOW + 86_400)
    tokens.get("a")
    source.error = PolicyDeniedError("denied")
    clock.now = NOW + 600
    with pytest.raises(PolicyDeniedError):
        tokens.get("a")


@pytest.mark.parametrize("text", ["a\r\nX-Other: b", "a b", "a\0", "\u00e9"])
def test_a_token_that_would_change_a_header_is_refused(source: Source, clock: Clock, text: str) -> None:
    source.text = text
    tokens = ServiceTokens(source.attach, clock, NOW + 86_400)
    for use in (tokens.get, tokens.fresh):
        with pytest.raises(IntegrityError) as raised:
            use("a")
        assert text not in str(raised.value)
