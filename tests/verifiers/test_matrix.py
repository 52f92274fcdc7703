"""Independent verifiers agree with jitid about good and hostile tokens of each algorithm, or a cell says why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.verifiers.cases import ALGORITHMS, keys
from tests.verifiers.explained import EXPLAINED, NO_EDDSA, REASONS, patterns
from tests.verifiers.hostile import cases
from tests.verifiers.inside import INSIDE, Verdicts
from tests.verifiers.outside import NAMES, Outside
from tests.verifiers.piped import LATCHSET, Piped
from tests.verifiers.served import SERVERS, Served

VERIFIERS = (*INSIDE, *NAMES, *SERVERS, LATCHSET)
SLOW = (*NAMES, LATCHSET)

Verify = Callable[[str, dict[str, Any], Sequence[str]], Verdicts]


@pytest.fixture(scope="module")
def verifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verify]:
    """Return the verifiers by name; each is installed, built or started at its first use."""
    folder = tmp_path_factory.mktemp("verifiers")
    others = {LATCHSET: Piped(folder).verify}
    return {**INSIDE, **Outside(folder).verifiers(), **Served(folder).verifiers(), **others}


def expected(verifier: str, algorithm: str, names: list[str]) -> set[str]:
    """Return the tokens that a verifier is known to judge differently."""
    if verifier in NO_EDDSA and algorithm == "EdDSA":
        return {name for name in names if name.startswith("good/")}
    return {
        name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns(verifier, algorithm))
    }


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "verifier",
    [pytest.param(name, marks=pytest.mark.deep) if name in SLOW else name for name in VERIFIERS],
)
def test_each_cell_agrees_or_says_why_not(
    verifiers: dict[str, Verify], verifier: str, algorithm: str
) -> None:
    made = cases(algorithm, int(time.time()))
    verdicts = verifiers[verifier](algorithm, keys(algorithm).jwks(), [case.token for case in made])
    assert len(verdicts) == len(made)
    differing = {
        case.name: verdict or "accepted"
        for case, verdict in zip(made, verdicts, strict=True)
        if (verdict is None) != case.accepted
    }
    explained = expected(verifier, algorithm, [case.name for case in made])
    assert {name: why for name, why in differing.items() if name not in explained} == {}, "unexplained"
    assert explained - differing.keys() == set(), "explained, and it agrees"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_tokens_are_many_and_each_has_its_own_name(algorithm: str) -> None:
    made = cases(algorithm, 1_795_521_600)
    assert len(made) >= 200
    assert sum(case.accepted for case in made) >= 13
    assert len({case.name for case in made}) == len({case.token for case in made}) == len(made)


def test_each_explanation_has_a_known_verifier_a_reason_and_tokens() -> None:
    names = [case.name for algorithm in ALGORITHMS for case in cases(algorithm, 1_795_521_600)]
    used: set[str] = set()
    for verifier, reasons in EXPLAINED.items():
        assert verifier in VERIFIERS
        assert reasons.keys() <= REASONS.keys()
        used |= reasons.keys()
        words = [word for each in reasons.values() for word in each.split()]
        assert len(set(words)) == len(words)
        for word in words:
            pattern, _, only = word.partition("@")
            assert [name for name in names if fnmatchcase(name, pattern)], word
            assert only in ("", *ALGORITHMS)
            # A forged signature or another algorithm cannot be explained.
            assert not word.startswith(("mac/", "key-in-header/", "kid/", "alg/none"))
    assert used == REASONS.keys()
    assert set(NO_EDDSA) <= set(VERIFIERS)
