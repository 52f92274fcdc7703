"""Shown tokens: a service that was merely shown a token gains no right by it at an authority."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.guard import USES, TokenRight, tokens_of
from jitid.authority.wire.codec import operations
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import Authenticate, GrantAccess
from jitid.capabilities.decisions.operations import Explain
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange, Introspect, RevokeToken
from jitid.capabilities.session.operations import RecordSession
from jitid.capabilities.use.authorization import UseRequest, check_action
from jitid.capabilities.use.operations import Authorize
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    NotFoundError,
    PolicyDeniedError,
    RefusedError,
    ShownError,
    UnauthenticatedError,
    UsageError,
)
from jitid.model.access import ROLES, Caller
from jitid.model.client_session import ClientSession
from jitid.model.credential import Kind
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest, MayAct, RenewRequest
from jitid.operation import base as ops
from jitid.values.secret import Secret, fingerprint, new_opaque
from tests.authority.callers import ask, caller
from tests.builders import NAMES, Made, World, edit, request
from tests.capabilities.identity.test_svids import retyped
from tests.capabilities.issue.test_lines import OVERLAP, attach, renew
from tests.programs import Shop

API, BACKEND, OTHER = "https://api.example", "https://backend.example", "https://other.example"
GATE = "system:gateway"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "ledger") as world:
        yield world


def gateway(*audiences: str, roles: tuple[str, ...] = (), name: str = GATE) -> Caller:
    """Return a service with these registered audiences."""
    return caller(name, *roles)._replace(audiences=audiences or None)


def shown(world: World, *actors: MayAct, kind: str = "jwt", **fields: Any) -> Made:
    """Return a token that its holder has obtained for a service."""
    return world.issue(audiences=(API,), may_act=actors, kind=kind, scopes=("a:b", "a:c"), **fields)


def exchange(world: World, who: Caller, made: Made, *audiences: str, **fields: Any) -> Issued:
    """Exchange a token as a gateway does."""
    fields = {"task": None, "delegator": None, "agent": "gateway", **fields}
    return ask(
        world,
        who,
        Exchange(request=request(audiences=audiences, **fields), subject=Secret.single(made.token)),
    )


RIGHTS: dict[str, Callable[[Made], ops.Operation[Any]]] = {
    "Issue.requests.parent": lambda made: issue_operations.Issue(
        requests=(request(agent="eve"), request(parent=made.token))
    ),
    "Renew.request.token": lambda made: issue_operations.Renew(
        request=RenewRequest(Secret.single(made.token))
    ),
    "AbandonRenewal.token": lambda made: issue_operations.AbandonRenewal(token=Secret.single(made.token)),
    "Attach.request.token": lambda made: Attach(
        request=AttachRequest(Secret.single(made.token), "opaque", audiences=(API,))
    ),
    "HandBack.token": lambda made: identity_operations.HandBack(token=Secret.single(made.token), id=made.id),
    "RecordSession.token": lambda made: RecordSession(
        token=Secret.single(made.token), session=ClientSession("codex", "s1")
    ),
    "Exchange.subject": lambda made: Exchange(
        request=request(task=None, delegator=None, audiences=(API,)),
        subject=Secret.single(made.token),
        subject_sort="access_token",
    ),
    "Exchange.actor": lambda made: Exchange(
        request=request(task=None, delegator=None, audiences=(API,)),
        subject=Secret.single("x.y.z"),
        actor=Secret.single(made.token),
        actor_sort="access_token",
    ),
}


def test_each_token_of_each_operation_has_a_use() -> None:
    """A new operation cannot omit whether its token is a right."""
    kinds: list[type] = [*operations().values()]
    assert {path for kind in kinds for path in tokens_of(kind)} == set(USES)
    named = {path for path, use in USES.items() if use in (TokenRight.RIGHT, TokenRight.EXCHANGED)}
    # A served caller cannot use the first field; the second is refused before the authority looks at it.
    assert named - set(RIGHTS) == {"Authenticate.bearer", "Exchange.request.parent"}


LOOKS: dict[str, Callable[[Made], ops.Operation[Any]]] = {
    "Authenticate.bearer": lambda made: Authenticate(bearer=Secret.single(made.token)),
    "Verify.token": lambda made: identity_operations.Verify(token=Secret.single(made.token)),
    "Inspect.token": lambda made: inventory_operations.Inspect(token=Secret.single(made.token)),
    "Explain.token": lambda made: Explain(token=Secret.single(made.token)),
    "Introspect.token": lambda made: Introspect(token=Secret.single(made.token)),
    "Authorize.asked.token": lambda made: Authorize(
        asked=(UseRequest(Secret.single(made.token), check_action("a:b"), "x"),) * 2
    ),
    "Revoke.tokens": lambda made: inventory_operations.Revoke(
        selection=Selection(), tokens=(Secret.single(made.token),), most=None
    ),
    "RevokeToken.token": lambda made: RevokeToken(token=Secret.single(made.token)),
}
DOORS = {**RIGHTS, **LOOKS}
"""All fields in which a token of jitid is presented."""


def test_each_place_for_a_token_of_ours_is_a_door() -> None:
    assert {path for path, use in USES.items() if use is not TokenRight.PROOF} - {
        "Exchange.request.parent"
    } == set(DOORS)


BESIDE = None
"""The local authority, without a served caller."""
ASKERS = [
    pytest.param(path, who, id=f"{path}-{'beside' if who is BESIDE else 'served'}")
    for path in DOORS
    for who in (BESIDE, caller("system:gate", *ROLES))
    # A served caller does not authenticate access tokens.
    if who is BESIDE or path != "Authenticate.bearer"
]


def known(world: World, path: str, who: Caller | None, made: Made) -> bool:
    """Return whether an operation recognizes a token."""
    operation = DOORS[path](made)
    try:
        answer = world.authority.perform(operation) if who is BESIDE else ask(world, who, operation)
    except (InvalidCredentialError, UnauthenticatedError):
        return False
    except NotFoundError:
        # The token has no predecessor; only an authority that recognized the token can say so.
        return path == "AbandonRenewal.token"
    verdicts = getattr(answer, "verdicts", None)
    return answer is not None and (verdicts is None or any(one.valid for one in verdicts))


@pytest.mark.deep
@pytest.mark.parametrize(("path", "who"), ASKERS)
def test_no_door_takes_what_a_target_made_for_an_opaque_token(
    tmp_path: Path, path: str, who: Caller | None
) -> None:
    """A target chooses its secrets, and a secret may look like a token of jitid."""
    text = new_opaque(os.urandom)
    target = Shop(tmp_path / "shop").target(template={"like": {"options": {"token": text}}})
    with World(tmp_path / "ledger", targets=[target]) as world:
        made = world.issue(kind="exec:shop", template="like", scopes=("a:b",))
        assert made.token == text
        assert not known(world, path, who, made)
        assert world.authority.perform(inventory_operations.Inspect(id=made.id)).active
        # Only the kind matters. In `Exchange.actor` the actor's token is accepted, and then the invalid subject is
        # refused.
        ours = world.issue(kind="opaque", scopes=("a:b",), may_audience=(API,))
        assert known(world, path, who, ours) == (path != "Exchange.actor")
        world.check()


@pytest.mark.deep
@pytest.mark.parametrize(("path", "who"), ASKERS)
def test_no_door_takes_an_opaque_token_whose_row_is_of_another_kind(
    world: World, path: str, who: Caller | None
) -> None:
    made = world.issue(kind="opaque", scopes=("a:b",), may_audience=(API,))
    for kind in (*Kind, "exec:shop"):
        if kind != Kind.OPAQUE:
            edit(world.path, f"UPDATE credential SET kind = '{kind}'")
            assert not known(world, path, who, made), kind


@pytest.mark.parametrize("path", RIGHTS)
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
@pytest.mark.parametrize("roles", [(), ROLES])
def test_a_service_token_is_no_right(world: World, path: str, kind: str, roles: tuple[str, ...]) -> None:
    made = shown(world, kind=kind)
    for who in (gateway(roles=roles), gateway(API, roles=roles), caller("user:alice", *roles)):
        with pytest.raises(ShownError, match="nothing was changed"):
            ask(world, who, RIGHTS[path](made))
    assert {event["op"] for event in world.events()} <= {"init", "issue", "denial"}
    assert world.verify(made.token, API)
    with pytest.raises(UnauthenticatedError):
        world.authority.perform(Authenticate(bearer=Secret.single(made.token)))


@pytest.mark.parametrize("path", [path for path in RIGHTS if not path.startswith("Exchange")])
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_an_identity_token_is_one(world: World, path: str, kind: str) -> None:
    made = world.issue(may_audience=(API,), kind=kind)
    if path == "AbandonRenewal.token":
        made = renew(world, made)
    ask(world, caller("user:alice"), RIGHTS[path](made))
    world.check()


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_whoever_has_a_predecessor_does_not_abandon_its_successor(world: World, kind: str) -> None:
    """A thief would take over the line: the predecessor would be valid and renewable again."""
    first = world.issue(may_audience=("urn:api",), kind=kind)
    thief = world.authority.perform(Authenticate(bearer=Secret.single(first.token)))
    second = renew(world, first)
    beside = attach(world, second, kind=kind)
    for who in (thief, caller("user:alice"), caller("user:eve", *ROLES)):
        for one in (first, beside):
            with pytest.raises((NotFoundError, ShownError)):
                ask(world, who, issue_operations.AbandonRenewal(token=Secret.single(one.token)))
        with pytest.raises((NotFoundError, RefusedError)):
            ask(world, who, issue_operations.AbandonAttachment(jti=second.jti))
    assert {event["op"] for event in world.events()} == {"init", "issue", "renew", "attach", "denial"}
    assert world.verify(second.token)
    with pytest.raises(PolicyDeniedError, match="renewed-twice"):
        renew(world, first)
    # The caller that made the successor may abandon it.
    ask(world, thief, issue_operations.AbandonRenewal(token=Secret.single(second.token)))
    world.clock.now += OVERLAP
    assert world.verify(first.token)
    with pytest.raises(InvalidCredentialError, match="revoked"):
        world.verify(second.token)
    world.check()


def test_an_attachment_is_abandoned_by_its_id_and_restores_nothing(world: World) -> None:
    first = world.issue(may_audience=("urn:api",))
    beside = attach(world, first)
    agent = world.authority.perform(Authenticate(bearer=Secret.single(first.token)))
    with pytest.raises(RefusedError):
        ask(world, caller("user:eve"), issue_operations.AbandonAttachment(jti=beside.jti))
    ask(world, agent, issue_operations.AbandonAttachment(jti=beside.jti))
    with pytest.raises(InvalidCredentialError, match="revoked"):
        world.verify(beside.token, "urn:api")
    assert world.verify(first.token)
    world.check()


def test_an_identity_token_is_exchanged_and_acts(world: World) -> None:
    made = world.issue(may_audience=(API,), agent="coder")
    ours = Secret.single(made.token)
    asked = request(task=None, delegator=None, agent="gateway", audiences=(API,))
    assert ask(world, gateway(), Exchange(request=asked, subject=ours)).parent == made.id
    assert ask(world, gateway(), Exchange(request=asked, subject=ours, actor=ours)).agent == "coder"
    assert world.authority.perform(Authenticate(bearer=ours)).agent == "coder"


def test_beside_the_ledger_everything_is_possible(world: World) -> None:
    """A process that can read the ledger's key has every right anyway."""
    made = shown(world)
    for path in ("Issue.requests.parent", "Attach.request.token", "Renew.request.token", "HandBack.token"):
        world.authority.perform(RIGHTS[path](made))
    world.check()


def test_a_token_that_was_shown_is_looked_at_and_ended(world: World) -> None:
    who = gateway(API, roles=("verifier", "responder"))
    token = Secret.single(shown(world).token)
    assert ask(world, who, Introspect(token=token))
    assert ask(world, who, identity_operations.Verify(token=token))
    assert ask(world, who, RevokeToken(token=token))


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_tokens_from_before_keep_what_they_were_given(world: World, kind: str) -> None:
    """They were access tokens that name the authority; only that distinguished them from tokens for services."""
    made = world.issue(kind=kind)
    if kind == "jwt":
        made = made._replace(token=retyped(world, made, "at+jwt"))
        edit(world.path, f"UPDATE credential SET fingerprint = x'{fingerprint(made.token).hex()}'")
        with pytest.raises(InvalidCredentialError, match="differs from the signed claims"):
            world.verify(made.token)
    edit(world.path, "UPDATE credential SET may_audience = NULL")
    assert world.verify(made.token)
    assert world.authority.perform(Authenticate(bearer=Secret.single(made.token)))
    for path in ("Issue.requests.parent", "Renew.request.token"):
        ask(world, caller("user:alice"), RIGHTS[path](made))


def test_no_type_is_taken_for_the_other(world: World) -> None:
    """Even a holder of the key cannot change the type, with a row made to fit (RFC 8725, section 3.11)."""
    for made, typ in ((world.issue(), "at+jwt"), (shown(world), "jitid-identity+jwt")):
        token = retyped(world, made, typ)
        edit(
            world.path,
            f"UPDATE credential SET fingerprint = x'{fingerprint(token).hex()}' WHERE id = {_key(world, made)}",
        )
        with pytest.raises(InvalidCredentialError, match="row differs from the signed"):
            world.verify(token, API, NAMES.issuer)


def _key(world: World, made: Made) -> int:
    return world.authority.perform(inventory_operations.Inspect(id=made.jti)).credential.key


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET may_audience = 'https://api.example https://evil.example'",
        "UPDATE credential SET may_audience = NULL",
        "UPDATE credential SET may_audience = ''",
        """UPDATE credential SET may_act = '{"audience":["https://evil.example"],"sub":"system:gateway"}'""",
        "UPDATE credential SET audiences = (SELECT id FROM term WHERE text = 'https://api.example')",
    ],
)
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_an_edit_of_the_reach_is_found(world: World, kind: str, change: str) -> None:
    shown(world, task="T0")
    made = world.issue(may_audience=(API,), kind=kind)
    world.check()
    edit(world.path, f"{change} WHERE id = {_key(world, made)}")
    with pytest.raises(IntegrityError):
        world.check()
    if kind == "jwt":
        with pytest.raises(InvalidCredentialError):
            world.verify(made.token)


# The gateway's exchange.


def test_a_gateway_exchanges_what_lets_it(world: World) -> None:
    made = shown(world, MayAct(GATE, (BACKEND,)), ttl=300)
    world.clock.now += 100
    issued = exchange(world, gateway(API), made, BACKEND, scopes=("a:b",), ttl=900)
    assert (issued.agent, issued.audiences, issued.scopes) == ("gateway", (BACKEND,), ("a:b",))
    assert (issued.parent, issued.depth, issued.expires_at) == (made.id, 1, made.issued.expires_at)
    found = world.verify(issued.credentials[0].secret.reveal(), BACKEND)
    assert (found.may_act, found.token_use) == (None, "service")
    world.check()


@pytest.mark.parametrize(
    ("who", "actors", "audience", "fields", "error"),
    [
        # No audience of the token is registered for the caller. A caller for all audiences owns none of them.
        (gateway(), (MayAct(GATE, (BACKEND,)),), BACKEND, {}, ShownError),
        (gateway(OTHER), (MayAct(GATE, (BACKEND,)),), BACKEND, {}, ShownError),
        (gateway(BACKEND), (MayAct(GATE, (BACKEND,)),), BACKEND, {}, ShownError),
        # The token lets no caller act, or another caller, or this caller at another audience.
        (gateway(API), (), BACKEND, {}, ShownError),
        (gateway(API), (MayAct("system:other", (BACKEND,)),), BACKEND, {}, ShownError),
        (gateway(API, name="system:gate"), (MayAct(GATE, (BACKEND,)),), BACKEND, {}, ShownError),
        (gateway(API, roles=ROLES), (MayAct("system:other", (BACKEND,)),), BACKEND, {}, ShownError),
        (gateway(API), (MayAct(GATE, (BACKEND,)),), OTHER, {}, ShownError),
        (gateway(API), (MayAct(GATE),), BACKEND, {}, ShownError),
        # An audience of the next actor in the chain is not for this one.
        (gateway(API), (MayAct(GATE, (BACKEND,)), MayAct("system:next", (OTHER,))), OTHER, {}, ShownError),
        # The new token is never for the authority. The request cannot state `may_act` or `exchanged`, or exceed the
        # token.
        (gateway(API), (MayAct(GATE, (BACKEND,)),), NAMES.issuer, {}, (ShownError, UsageError)),
        (gateway(API), (MayAct(GATE, (BACKEND,)),), BACKEND, {"may_act": (MayAct(GATE),)}, UsageError),
        (gateway(API), (MayAct(GATE, (BACKEND,)),), BACKEND, {"identity": True}, UsageError),
        (gateway(API), (MayAct(GATE, (BACKEND,)),), BACKEND, {"scopes": ("a:d",)}, PolicyDeniedError),
        (gateway(API), (MayAct(GATE, (BACKEND,)),), BACKEND, {"exchanged": True}, RefusedError),
        # The new token is on the task of the token; the request cannot read, open or use up another task of the owner.
        (gateway(API), (MayAct(GATE, (BACKEND,)),), BACKEND, {"task": "SECRET-1"}, PolicyDeniedError),
        (gateway(API), (MayAct(GATE, (BACKEND,)),), BACKEND, {"task": "T1/sub"}, PolicyDeniedError),
        (
            gateway(API),
            (MayAct(GATE, (BACKEND,)),),
            BACKEND,
            {"task": "INC-91", "deadline_after": 2, "sensitivity": "low"},
            PolicyDeniedError,
        ),
    ],
)
def test_it_exchanges_nothing_else(
    world: World,
    who: Caller,
    actors: tuple[MayAct, ...],
    audience: str,
    fields: dict[str, Any],
    error: type[Exception],
) -> None:
    made = shown(world, *actors)
    with pytest.raises(error):
        exchange(world, who, made, audience, **fields)
    assert [event["op"] for event in world.events()].count("issue") == 1


def test_it_bears_the_name_of_the_service_whatever_it_says(world: World) -> None:
    made = shown(world, MayAct(GATE, (BACKEND,)))
    who = gateway(API, roles=("issuer",))
    assert exchange(world, who, made, BACKEND, agent="planner").agent == "gateway"


def test_it_passes_on_what_the_token_says_and_no_more(world: World) -> None:
    actors = (MayAct(GATE, (BACKEND,)), MayAct("system:backend", ("https://*.store.example",)))
    first = exchange(world, gateway(API), shown(world, *actors), BACKEND)
    made = Made(first.credentials[0].secret.reveal(), *first.credentials[0][:2], first)
    backend = gateway(BACKEND, name="system:backend")
    with pytest.raises(ShownError):
        exchange(world, gateway(API, BACKEND), made, "https://a.store.example")
    second = exchange(world, backend, made, "https://a.store.example", agent="backend")
    assert (second.agent, second.depth) == ("backend", 2)
    last = Made(second.credentials[0].secret.reveal(), *second.credentials[0][:2], second)
    with pytest.raises(ShownError):
        exchange(world, gateway("https://a.store.example", name="system:backend"), last, BACKEND)
    world.check()


def test_what_was_exchanged_is_no_right_and_ends_with_the_token(world: World) -> None:
    made = shown(world, MayAct(GATE, (BACKEND,)))
    issued = exchange(world, gateway(API), made, BACKEND)
    child = Made(issued.credentials[0].secret.reveal(), *issued.credentials[0][:2], issued)
    for path in RIGHTS:
        with pytest.raises(ShownError):
            ask(world, gateway(API, BACKEND), RIGHTS[path](child))
    # It cannot be renewed even locally: its parent may not obtain tokens for its audience.
    with pytest.raises(PolicyDeniedError):
        world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(child.token))))
    world.revoke(made.id)
    with pytest.raises(InvalidCredentialError):
        world.verify(child.token, BACKEND)


def test_who_may_exchange_lies_within_what_the_holder_may_obtain(world: World) -> None:
    parent = world.issue(may_audience=(API, BACKEND))
    for actors in ((MayAct(GATE, (OTHER,)),), (MayAct(GATE), MayAct("system:next", (OTHER,)))):
        for attempt in (
            lambda actors=actors: world.issue(parent=parent.token, audiences=(API,), may_act=actors),
            lambda actors=actors: world.authority.perform(
                Attach(
                    request=AttachRequest(
                        Secret.single(parent.token), "jwt", audiences=(API,), may_act=actors
                    )
                )
            ),
        ):
            with pytest.raises(PolicyDeniedError, match="attenuation"):
                attempt()
    made = world.issue(parent=parent.token, audiences=(API,), may_act=(MayAct(GATE, (BACKEND,)),))
    assert exchange(world, gateway(API), made, BACKEND).depth == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"may_act": (MayAct(GATE),)},
        {"audiences": (API,), "may_act": (MayAct("agent:planner"),)},
        {"audiences": (API,), "may_act": (MayAct(GATE, (NAMES.issuer,)),)},
        {"audiences": (API,), "may_act": (MayAct(GATE),) * 9},
        {"audiences": (API,), "may_act": (MayAct(GATE),), "kind": "x509-svid"},
        {"audiences": (API,), "may_audience": (OTHER,)},
        {"audiences": (NAMES.issuer,)},
        {"audiences": (NAMES.issuer, API)},
        {"audiences": ("https://*.example.com",)},
        {"may_audience": (NAMES.issuer,)},
        {"may_audience": (API,), "kind": "x509-svid"},
    ],
)
def test_no_token_is_for_both_uses(world: World, fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        world.issue(**fields)


def test_the_address_of_the_authority_is_no_service(tmp_path: Path) -> None:
    with World(tmp_path / "ledger", places=("https://auth.example",)) as world:
        for audience in ("https://auth.example", "https://auth.example/token"):
            with pytest.raises(UsageError, match="is this authority"):
                world.issue(audiences=(audience,))
        parent = world.issue(may_audience=("https://*.example",))
        with pytest.raises(UsageError, match="is this authority"):
            world.issue(parent=parent.token, audiences=("https://auth.example",))


# A verifier gets answers only about tokens for its own audiences.


def test_a_verifier_says_which_audiences_are_its_own(world: World) -> None:
    with pytest.raises(UsageError, match="the role verifier requires an audience"):
        world.authority.perform(GrantAccess(wanted=AccessRequest(GATE, ("verifier",))))
    with pytest.raises(UsageError, match="exclude each other"):
        world.authority.perform(
            GrantAccess(wanted=AccessRequest(GATE, ("verifier",), audiences=(API,), all_audiences=True))
        )
    with pytest.raises(UsageError, match="not a single audience"):
        world.authority.perform(GrantAccess(wanted=AccessRequest(GATE, audiences=("https://*.example",))))


@pytest.mark.parametrize(
    "audience", [NAMES.issuer, "https://auth.example", "https://auth.example/token", "https://old.example"]
)
def test_no_service_has_the_authority_as_its_audience(tmp_path: Path, audience: str) -> None:
    """Such a service could verify identity tokens, which are only for the authority."""
    with World(tmp_path / "ledger", places=("https://auth.example",)) as world:
        if audience == "https://old.example":
            world.authority.set_issuer(audience, accept_clock=False)
            world.authority.set_issuer("https://new.example", accept_clock=False)
            world.reopen()
        with pytest.raises(UsageError, match="is this authority"):
            world.authority.perform(GrantAccess(wanted=AccessRequest(GATE, audiences=(API, audience))))
        assert "access-grant" not in {event["op"] for event in world.events()}
        world.authority.perform(GrantAccess(wanted=AccessRequest(GATE, audiences=(API,))))


@pytest.mark.parametrize(
    ("wanted", "told"), [({"audiences": (API,)}, {API}), ({"all_audiences": True}, {API, OTHER})]
)
def test_it_is_told_about_them_alone(world: World, wanted: dict[str, Any], told: set[str]) -> None:
    granted = world.authority.perform(GrantAccess(wanted=AccessRequest(GATE, ("verifier",), **wanted)))
    assert granted.secret is not None
    who = world.authority.perform(Authenticate(bearer=granted.secret))
    found: dict[str, set[str]] = {"introspect": set(), "verify": set(), "authorize": set()}
    for audience in (API, OTHER):
        token = Secret.single(world.issue(audiences=(audience,), scopes=("a:b",)).token)
        looks: tuple[tuple[str, ops.Operation[Any]], ...] = (
            ("introspect", Introspect(token=token)),
            ("verify", identity_operations.Verify(token=token, audiences=(audience,))),
        )
        for name, operation in looks:
            try:
                ask(world, who, operation)
            except InvalidCredentialError:
                continue
            found[name].add(audience)
        asked = (UseRequest(token, check_action("a:b"), "x"),)
        (verdict,) = ask(world, who, Authorize(asked=asked, audiences=(audience,))).verdicts
        if verdict.allowed:
            found["authorize"].add(audience)
    assert found == dict.fromkeys(found, told)
    world.check()
