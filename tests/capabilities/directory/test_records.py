"""Records of registered agents: they limit all credentials obtained from the agent's identities, under any name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.trust.operations import RotateKey
from jitid.errors import InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.model.credential import Credential, TokenUse
from jitid.model.directory import Agent
from jitid.model.request import AttachRequest, MayAct, RenewRequest
from jitid.operation import reach
from jitid.values.scope import Scope, uncovered
from jitid.values.secret import Secret
from tests.builders import DAY, KINDS, NOW, Made, World, request

ALL = '@id("all") permit(principal, action, resource);\n'
MADE = ("jwt", "opaque", "jwt-svid", "x509-svid", "ssh-cert")
LISTED = ("jwt", "opaque", "jwt-svid")
SERVICES = ("urn:a", "urn:b")
SCOPES = ("repo:read", "repo:write")
DETAIL = '{"type":"payment"}'

PASSED_ON = {"scopes", "audiences", "kinds", "max_ttl"}
"""Fields that limit all credentials obtained from an identity. The scopes also limit authorization details."""
OF_THE_NAME_ALONE = {
    "key", "name", "owner", "purpose", "concurrency", "users", "review_at", "registered_at", "reviewed_at",
    "suspended_at", "suspended_as", "unregistered_at",
}  # fmt: skip
"""Fields for the name alone. `concurrency` counts its identities; withdrawal ends the descendants too."""


def _world(path: Path) -> World:
    world = World(path, policy=[("p.cedar", ALL + KINDS)])
    for use in ("x509", "ssh"):
        world.authority.perform(RotateKey(algorithm="ES256" if use == "x509" else "EdDSA", use=use))
    world.know()
    return world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with _world(tmp_path / "ledger") as world:
        yield world


def beyond(record: Agent, held: Credential) -> list[str]:
    """Return the fields of a record that a credential exceeds, by itself or by the credentials that it can obtain."""
    services = () if held.token_use == TokenUse.IDENTITY else held.audiences
    reached = {*services, *held.may_audience, *reach.actor_reach(held.may_act)}
    if held.kind not in LISTED:
        # Its audience is the authority and not a service.
        reached -= set(held.audiences)
    assert held.may_kind is not None
    kinds = {kind.partition(":")[0] for kind in (held.kind, *held.may_kind)}
    found = {
        "scopes": uncovered([Scope(one) for one in record.scopes], [Scope(one) for one in held.scopes])
        or held.details,
        "audiences": reached - set(record.audiences),
        "kinds": kinds - set(record.kinds),
        "max_ttl": held.expires_at - held.issued_at > record.max_ttl,
    }
    assert found.keys() == PASSED_ON
    return [name for name, exceeds in found.items() if exceeds]


def credential(world: World, made: Made) -> Credential:
    """Return the ledger's record of a credential."""
    found: Credential = world.authority.perform(Inspect(id=made.jti)).credential
    return found


def test_every_field_of_a_record_is_one_or_the_other() -> None:
    assert set(Agent._fields) == PASSED_ON | OF_THE_NAME_ALONE


def _made(issued: Any) -> Made:
    (one,) = issued.credentials
    return Made(one.secret.reveal(one.secret.names[0]), one.id, one.jti, issued)


def _child(world: World, held: Made, fields: dict[str, Any]) -> Made:
    return world.issue(parent=held.token, agent="other", **fields)


def _attached(world: World, held: Made, fields: dict[str, Any]) -> Made:
    known = {name: fields[name] for name in ("scopes", "audiences", "ttl", "may_act") if name in fields}
    wanted = AttachRequest(Secret.single(held.token), fields.get("kind", "jwt"), **known)
    return _made(world.authority.perform(Attach(request=wanted)))


def _renewed(world: World, held: Made, fields: dict[str, Any]) -> Made:
    wanted = RenewRequest(
        Secret.single(held.token),
        ttl=fields.get("ttl"),
        allow_narrower=fields.get("allow_narrower", False),
    )
    return _made(world.authority.perform(issue_operations.Renew(request=wanted)))


def _exchanged(world: World, held: Made, fields: dict[str, Any]) -> Made:
    wanted = request(agent="gateway", **fields)._replace(delegator=None, task=None)
    return _made(world.authority.perform(Exchange(request=wanted, subject=Secret.single(held.token))))


def _again(world: World, held: Made, fields: dict[str, Any]) -> Made:
    return world.issue(parent=held.token, **fields)


WAYS: dict[str, Callable[[World, Made, dict[str, Any]], Made]] = {
    "child": _child,
    "child of its name": _again,
    "attachment": _attached,
    "renewal": _renewed,
    "exchange": _exchanged,
}


def _some(of: tuple[str, ...], least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(of), min_size=least, max_size=len(of), unique=True).map(tuple)


_fields = st.fixed_dictionaries(
    {},
    optional={
        "scopes": _some(SCOPES, 1),
        "audiences": _some(SERVICES, 1),
        "may_audience": _some(SERVICES, 1),
        "kind": st.sampled_from(MADE),
        "may_kind": _some(MADE, 1),
        "ttl": st.sampled_from((60, 600, 1_200)),
        "details": st.just((DETAIL,)),
        "may_act": _some(SERVICES, 1).map(lambda services: (MayAct("system:gateway", services),)),
        "allow_narrower": st.booleans(),
    },
)
_records = st.fixed_dictionaries(
    {
        "scopes": _some(SCOPES),
        "audiences": _some(SERVICES, 1),
        "kinds": _some(MADE, 1),
        "max_ttl": st.sampled_from((300, 900)),
    }
)
_steps = st.lists(
    st.tuples(st.sampled_from(sorted(WAYS)), st.integers(0, 5), st.integers(0, 60), _fields), max_size=8
)


@pytest.mark.deep
@settings(max_examples=60, deadline=None)
@given(_records, st.lists(_fields, min_size=1, max_size=3), _steps)
def test_nothing_that_comes_of_an_identity_exceeds_the_record(
    tmp_path_factory: pytest.TempPathFactory,
    stated: dict[str, Any],
    issues: list[dict[str, Any]],
    steps: list[tuple[str, int, int, dict[str, Any]]],
) -> None:
    """Credentials may be delegated, attached, renewed or exchanged, under the same or another name, repeatedly."""
    with _world(tmp_path_factory.mktemp("records") / "ledger") as world:
        record = world.register(**stated)
        held: list[Made] = []

        def attempt(make: Callable[[], Made]) -> None:
            try:
                made = make()
            except (PolicyDeniedError, UsageError, InvalidCredentialError):
                return
            assert beyond(record, credential(world, made)) == []
            held.append(made)

        # The widest request that the record permits, so that the steps have a credential to start from.
        widest = {"scopes": record.scopes, "may_audience": record.audiences, "may_kind": record.kinds}
        if own := [kind for kind in ("jwt", "opaque") if kind in record.kinds]:
            attempt(lambda: world.issue(kind=own[0], ttl=600, **widest))
            assert held, "the record permits it"
        for fields in issues:
            attempt(lambda fields=fields: world.issue(**fields))  # type: ignore[misc]  # the default binds it now
        for way, which, seconds, fields in steps:
            world.clock.now += seconds
            if held:
                one = held[which % len(held)]
                attempt(lambda way=way, one=one, fields=fields: WAYS[way](world, one, fields))  # type: ignore[misc]  # the default binds it now
        world.check()


ISSUED: dict[str, tuple[dict[str, Any], str]] = {
    "scopes": ({"scopes": ("repo:write",)}, "agent-scope"),
    "details": ({"details": (DETAIL,)}, "agent-scope"),
    "audiences": ({"audiences": ("urn:b",)}, "agent-audience"),
    "may_audience": ({"may_audience": ("urn:b",)}, "agent-audience"),
    "may_act": ({"audiences": ("urn:a",), "may_act": (MayAct("system:gateway", ("urn:b",)),)}, "agent-audience"),
    "kind": ({"kind": "opaque"}, "agent-kind"),
    "may_kind": ({"may_kind": ("jwt", "ssh-cert")}, "agent-kind"),
    "may_kind usual": ({"may_kind": ("jwt", "opaque")}, "agent-kind"),
}  # fmt: skip


@pytest.mark.parametrize("what", ISSUED)
def test_what_exceeds_the_record_is_refused_when_it_is_granted(world: World, what: str) -> None:
    """The refusal does not wait for the use of the right, because an agent of another name may use it."""
    fields, rule = ISSUED[what]
    world.register(scopes=("repo:read",), audiences=("urn:a",), kinds=("jwt",))
    parent = world.issue(
        agent="root",
        task="T9",
        scopes=SCOPES,
        may_audience=SERVICES,
        may_kind=MADE,
        details=(DETAIL,),
    )
    for more in ({}, {"parent": parent.token}):
        with pytest.raises(PolicyDeniedError, match=f"rule `{rule}`"):
            world.issue(**fields, **more)
    # An agent without a record gets the requested rights.
    assert world.issue(agent="other", **fields)
    world.check()


def test_the_usual_kinds_are_those_that_the_record_has(world: World) -> None:
    world.register(kinds=("opaque", "ssh-cert"))
    made = world.issue(kind="opaque")
    assert (made.issued.notes, credential(world, made).may_kind) == ((), ("opaque",))
    assert world.events()[-1]["may_kind"] == "opaque"
    only = world.issue(kind="ssh-cert", may_kind=("ssh-cert",))
    assert credential(world, only).may_kind == ("ssh-cert",)
    world.check()


def test_with_allow_narrower_a_kind_beyond_the_record_is_left_out(world: World) -> None:
    world.register(kinds=("jwt",))
    made = world.issue(may_kind=("jwt", "ssh-cert"), allow_narrower=True)
    assert credential(world, made).may_kind == ("jwt",)
    assert "without kind `ssh-cert`: agent `planner` may have jwt only" in made.issued.notes
    world.check()


def test_a_renewal_is_within_the_record_as_it_is_now(world: World) -> None:
    """Kinds that no request stated are omitted. Stated kinds are omitted only with `allow_narrower`."""
    world.register(audiences=("urn:a",), kinds=("jwt", "opaque", "ssh-cert"))
    grant = {"ttl": 600, "may_audience": ("urn:a",)}
    usual, stated = world.issue(**grant), world.issue(**grant, may_kind=("jwt", "ssh-cert"))
    world.register(kinds=("jwt",))
    made = _renewed(world, usual, {})
    assert credential(world, made).may_kind == ("jwt",)
    assert "without kind `opaque`: agent `planner` may have jwt only" in made.issued.notes
    with pytest.raises(PolicyDeniedError, match="rule `agent-kind`"):
        _renewed(world, stated, {})
    # An attached credential passes on no more than the record permits, though it was not renewed.
    beside = _attached(world, stated, {"audiences": ("urn:a",)})
    assert credential(world, beside).may_kind == ("jwt",)
    made = _renewed(world, stated, {"allow_narrower": True})
    assert credential(world, made).may_kind == ("jwt",)
    world.check()


def test_what_an_agent_of_another_name_obtains_is_within_the_record(world: World) -> None:
    world.register(audiences=("urn:a",), kinds=("jwt",), max_ttl=600)
    made = world.issue(may_audience=("urn:a",))
    for kind in ("opaque", "ssh-cert", "x509-svid"):
        for way in ("child", "attachment", "exchange"):
            with pytest.raises(PolicyDeniedError, match=r"rule `(attenuation|agent-kind)`"):
                WAYS[way](world, made, {"kind": kind, "audiences": ("urn:a",) if kind in LISTED else ()})
    child = _child(world, made, {"ttl": DAY})
    assert credential(world, child).expires_at <= NOW + 600
    world.check()


def test_a_jwt_svid_for_the_authority_is_within_a_record_that_names_it_alone(world: World) -> None:
    """A JWT-SVID is presented to its audience. Only an identity token is for the authority under any record."""
    world.register(audiences=("urn:a",), kinds=("jwt", "jwt-svid"))
    assert world.issue()
    with pytest.raises(PolicyDeniedError, match="rule `agent-audience`"):
        world.issue(kind="jwt-svid")
    assert world.issue(kind="jwt-svid", audiences=("urn:a",))
    assert world.issue(agent="other", kind="jwt-svid")
    world.check()
