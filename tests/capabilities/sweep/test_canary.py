"""Canaries: a sweep sees that a live secret works and an ended one does not. It reports any other result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.audit import audit_log
from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialChanges
from jitid.capabilities.inventory.operations import ListCredentials, ListTasks
from jitid.capabilities.sweep.finding import Canary, Coverage, Fate, Finding, Thresholds
from jitid.capabilities.sweep.operations import FlyCanaries, Sweep
from jitid.capabilities.trust.operations import RotateKey
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from tests.builders import World
from tests.programs import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def world(tmp_path: Path, shop: Shop) -> Iterator[World]:
    with World(tmp_path / "ledger", targets=[shop.target(), shop.target("other")]) as world:
        yield world


def fly(world: World, *targets: str, limit: int = 20) -> dict[str, Canary]:
    flown = world.authority.perform(FlyCanaries(targets=targets, limit=limit))
    return {canary.place: canary for canary in flown}


def told(world: World, *canaries: Canary) -> tuple[list[Finding], Coverage]:
    """Return the findings and the coverage of the rule for canaries."""
    operation = Sweep(rules=("canary",), limits=Thresholds(), canaries=canaries)
    answer = world.authority.perform(operation)
    found = list(answer)
    (coverage,) = [each for each in found if isinstance(each, Coverage)]
    return [each for each in found if isinstance(each, Finding)], coverage


def events(world: World) -> list[dict[str, Any]]:
    """Return the audit events of canaries."""
    with world.ledger.read() as snapshot:
        return list(audit_log.log(snapshot, LogFilter(operation="canary"), None))


def test_what_works_is_proved_and_leaves_nothing(world: World, shop: Shop) -> None:
    flown = fly(world)
    assert set(flown) == {"jwt", "opaque", "shop", "other"}
    for canary in flown.values():
        assert canary.fate is Fate.PROVED, canary
        assert canary.jti is not None
        assert canary.made_in is not None
        assert canary.dead_in is not None
    assert shop.made == {}
    page = world.authority.perform(
        ListCredentials(chosen=Filter(live=True), sort="id", descending=False, after=None, limit=9)
    )
    assert page.credentials == []
    assert world.authority.perform(ListTasks(state="open", after=None, limit=9)) == []
    findings, coverage = told(world, *flown.values())
    assert findings == []
    assert coverage.complete
    assert "shop refused after " in coverage.examined
    tellings = events(world)
    assert [(event["place"], event["fate"]) for event in tellings] == [
        (place, "proved") for place in ("jwt", "opaque", "shop", "other")
    ]
    world.check()


def test_a_revoked_key_without_a_successor_gets_none_until_it_is_rotated(tmp_path: Path) -> None:
    """The target that kept the key was unreachable; a key in a file would take its place silently."""
    world = World(tmp_path / "ledger")
    world.issue(kind="jwt")
    with world.ledger.write() as transaction:
        (key,) = KeyStore(transaction).signing_keys()
        selection = Selection(kids=(key.kid,))
        radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
        facts = {"kid": key.kid, "reason": None, "count": radius.credentials, "ended": digest}
        transaction.append("key-revoke", facts)
        KeyChanges(transaction).end_key(key.key, revoked=True)
    assert {name: canary.fate for name, canary in fly(world).items()} == {
        "jwt": Fate.GROUNDED,
        "opaque": Fate.PROVED,
    }
    world.authority.perform(RotateKey(algorithm="EdDSA"))
    assert {name: canary.fate for name, canary in fly(world).items()} == {
        "jwt": Fate.PROVED,
        "opaque": Fate.PROVED,
    }
    world.check()


def test_it_has_no_rights_and_no_template_unless_the_target_names_one(tmp_path: Path, shop: Shop) -> None:
    with World(tmp_path / "ledger", targets=[shop.target(), shop.target("own", canary="parts")]) as world:
        fly(world, "shop")
        asked = shop.asked("mint")["credential"]
        assert (asked["scopes"], asked["template"]) == ([], None)
        fly(world, "own")
        assert shop.asked("mint")["credential"]["template"] == "parts"


@pytest.mark.deep
@pytest.mark.parametrize(
    ("mode", "operation", "fate", "severity"),
    [
        ("pretend", "revoke", Fate.SURVIVED, "critical"),
        ("down", "revoke", Fate.SURVIVED, "critical"),
        ("garbage", "probe", Fate.BLIND, "high"),
        ("down", "mint", Fate.GROUNDED, None),
        ("lost", "mint", Fate.GROUNDED, None),
    ],
)
def test_what_does_not_work_is_told(
    world: World, shop: Shop, mode: str, operation: str, fate: Fate, severity: str | None
) -> None:
    shop.fail(mode, operation)
    canary = fly(world, "shop", limit=1)["shop"]
    assert canary.fate is fate, canary
    findings, coverage = told(world, canary)
    if severity is None:
        assert findings == []
        assert not coverage.complete
        assert coverage.missed[0].startswith("shop: no canary could be issued: ")
        assert shop.made == {}
    else:
        (finding,) = findings
        assert (finding.severity, finding.subject) == (severity, "shop")
    # In each case, no canary is live afterwards.
    page = world.authority.perform(
        ListCredentials(chosen=Filter(live=True), sort="id", descending=False, after=None, limit=9)
    )
    assert page.credentials == []


def test_a_probe_that_cannot_tell_proves_nothing(world: World, shop: Shop) -> None:
    """A probe of the wrong place reports the secret as ended both before and after its revocation."""
    shop.fail("deny", "probe")
    canary = fly(world, "shop")["shop"]
    assert canary.fate is Fate.BLIND
    assert "before its revocation" in canary.why


def test_a_secret_that_a_probe_repeats_is_not_kept(tmp_path: Path, shop: Shop) -> None:
    shop.fail("echo", "probe")
    with World(tmp_path / "ledger", targets=[shop.target(canary="parts")]) as world:
        canary = fly(world, "shop")["shop"]
        assert canary.fate is Fate.PROVED
        (event,) = events(world)
    name = f"jitid_{str(canary.jti).removeprefix('jti_')}"
    assert canary.why == event["why"] == f"looked for {name}.made with ['****', '{name}']"


def test_what_the_policy_refuses_is_not_flown(tmp_path: Path, shop: Shop) -> None:
    policy = [("p.cedar", '@id("p") permit(principal, action, resource) when { context.kind == "jwt" };')]
    with World(tmp_path / "ledger", policy=policy, targets=[shop.target()]) as world:
        flown = fly(world)
    assert flown["jwt"].fate is Fate.PROVED
    assert flown["opaque"].fate is Fate.GROUNDED
    assert flown["shop"].fate is Fate.GROUNDED
    assert "denied" in flown["shop"].why
    assert shop.made == {}
