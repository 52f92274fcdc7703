"""Tokens of other issuers: a token counts for the client that it names, otherwise for its first presenter."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.oidc import thumbprint
from jitid.capabilities.access.operations import Authenticate, GrantAccess
from jitid.capabilities.access.store import REMEMBERED, Presentation, PresentedStore
from jitid.capabilities.directory.operations import ChangeAgent, SuspendAgent
from jitid.capabilities.directory.registry import StatedAgent
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import perform as issue_perform
from jitid.capabilities.issue.approval_operations import DenyApproval, GrantApproval
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.token_operations import Exchange
from jitid.errors import (
    ApprovalNeededError,
    ConfigurationError,
    IntegrityError,
    InvalidCredentialError,
    JitidError,
    PolicyDeniedError,
    PresenterError,
)
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.model.access import Caller, OidcIssuer
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue, told
from tests.backup.test_copy_ledger import copied
from tests.builders import DAY, NOW, World, edit, request
from tests.capabilities.integrity.test_cut import cut
from tests.capabilities.integrity.test_retention import prune, wait
from tests.crypto.signed import ED25519, P256, encode, jwk, token

ISSUER = "https://id.example"
OTHER = "https://other.example"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the curve P-256."""
POLICY = """
@id("all") permit (principal, action, resource);
@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource) when { context.scope like "pay:*" };
"""
GATE, EVE = caller("system:gate"), caller("user:eve")

in_both = pytest.mark.usefixtures("kept_in")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a ledger whose authority trusts two issuers, each for its own names."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [jwk(P256, kid="k")]}))
    keys.chmod(0o644)
    first = OidcIssuer(
        ISSUER, str(keys), "jitid", names=("*@example.com",), clients=(("0oa1", "system:gate"),)
    )
    second = first._replace(issuer=OTHER, names=("*@example.org",), clients=())
    with World(tmp_path / "ledger", oidc=(first, second), policy=[("p.cedar", POLICY)]) as made:
        yield made


def foreign(sub: str = "alice@example.com", **claims: Any) -> Secret:
    """Return a token of the first issuer; it has no `jti`, so its content distinguishes it from others."""
    plain = {
        "iss": ISSUER,
        "aud": "jitid",
        "sub": sub,
        "iat": NOW,
        "exp": NOW + 300,
        "nonce": os.urandom(8).hex(),
    }
    return Secret.single(token({"alg": "ES256", "typ": "JWT", "kid": "k"}, {**plain, **claims}, P256))


def use(world: World, who: Caller | None, proof: Secret, *, dry_run: bool = False, **fields: Any) -> Issued:
    """Issue with a token as the delegator's proof, for a caller or locally for None."""
    fields = {"delegator": None, "agent": "planner", **fields}
    operation = issue_operations.Issue(requests=(request(**fields),), delegator_token=proof, dry_run=dry_run)
    (issued,) = world.authority.perform(operation) if who is None else ask(world, who, operation)
    return issued


def exchange(world: World, who: Caller | None, proof: Secret, actor: Secret | None = None) -> Issued:
    """Exchange a token on behalf of a caller."""
    assert who is not None
    wanted = request(task=None, delegator=None, agent=who.name.partition(":")[2])
    return ask(world, who, Exchange(request=wanted, subject=proof, actor=actor))


def agent(world: World, name: str = "planner") -> Caller:
    """Return an agent that authenticates with its own credential."""
    made = world.issue(agent=name)
    return Caller(f"agent:{name}", frozenset(), None, "credential", credential=made.jti, agent=name)


def marks(world: World) -> list[Presentation]:
    """Return the ledger's marks of presented tokens."""
    with world.ledger.read() as snapshot:
        return [mark for mark, _ in PresentedStore(snapshot).all()]


@in_both
def test_a_token_counts_for_its_first_presenter_alone(world: World) -> None:
    """A later presenter that found it in a log is refused by each operation; the refusal is recorded."""
    proof = foreign()
    assert use(world, GATE, proof).delegator == "user:alice@example.com"
    for again in (use, exchange):
        assert again(world, GATE, proof)
    for who, attempt in (
        (EVE, use),
        (EVE, exchange),
        (caller("user:eve", "issuer", "admin"), use),
        (None, use),
    ):
        with pytest.raises(PresenterError, match="before") as caught:
            attempt(world, who, proof)
        assert (caught.value.exit_status, caught.value.code) == (6, "wrong_presenter")
    assert [event["by"] for event in told(world, "denial")] == ["user:eve"] * 3 + ["tester"]
    assert [event["agent"] for event in told(world, "denial")] == ["planner", "eve", "planner", "planner"]
    with pytest.raises(PresenterError):
        use(world, EVE, proof, dry_run=True)
    assert use(world, GATE, proof, dry_run=True)
    (first,) = [event for event in told(world, "issue") if "presented" in event]
    (mark,) = marks(world)
    assert (mark.presenter, mark.until) == ("system:gate", NOW + 300)
    assert first["presented"] == [[mark.digest, NOW + 300]]
    world.check()


@in_both
def test_another_signature_of_the_same_token_is_no_other_token(world: World) -> None:
    """A token with the same `jti` of the same issuer is not another token either."""
    proof = foreign()
    use(world, GATE, proof)
    signed, _, signature = proof.reveal().rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    # Any holder of an ECDSA signature (r, s) can compute the valid signature (r, n - s).
    other = raw[:32] + (ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    spelled = Secret.single(f"{signed}.{encode(other)}")
    assert use(world, GATE, spelled)
    with pytest.raises(PresenterError):
        use(world, EVE, spelled)
    once_more = foreign(jti="j-1")
    use(world, GATE, once_more)
    with pytest.raises(PresenterError):
        use(world, EVE, foreign(jti="j-1"))
    assert use(world, EVE, foreign("bob@example.org", iss=OTHER, jti="j-1"))


def test_what_was_refused_or_only_looked_at_binds_nothing(world: World) -> None:
    """A failed attempt with another caller's token does not bind the token to the attempter."""
    proof = foreign()
    assert use(world, EVE, proof, dry_run=True)
    with pytest.raises(JitidError):
        use(world, EVE, proof, agent="x", ttl=-1)
    assert marks(world) == []
    assert use(world, GATE, proof)


def test_beside_the_ledger_the_first_presenter_is_the_os_user(world: World) -> None:
    proof = foreign()
    assert use(world, None, proof)
    assert use(world, None, proof)
    assert [mark.presenter for mark in marks(world)] == ["tester"]
    with pytest.raises(PresenterError):
        use(world, EVE, proof)
    world.terms = world.terms._replace(caller="mallory")
    world.reopen()
    with pytest.raises(PresenterError):
        use(world, None, proof)


def test_agents_of_one_name_are_not_one_presenter(world: World) -> None:
    """One identity is one presenter, also after a renewal."""
    one, other, proof = agent(world), agent(world), foreign()
    assert use(world, one, proof)
    with pytest.raises(PresenterError):
        use(world, other, proof)
    made = world.issue(agent="coder")
    coder = Caller("agent:coder", frozenset(), None, "credential", credential=made.jti, agent="coder")
    proof = foreign()
    assert use(world, coder, proof)
    renewed = world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(made.token))))
    assert use(world, coder._replace(credential=renewed.credentials[0].jti), proof)


@pytest.mark.parametrize("member", ["azp", "client_id"])
def test_a_token_counts_for_the_client_that_it_names(world: World, member: str) -> None:
    """The configuration may map the client's name, or it is the caller's name; every other caller is refused."""
    for client, who in (("0oa1", GATE), ("system:lift", caller("system:lift"))):
        proof = foreign(**{member: client})
        for stranger in (EVE, caller("user:eve", "issuer"), caller("system:0oa1"), agent(world, "0oa1")):
            with pytest.raises(PresenterError, match=f"issued to the client `{client}`"):
                use(world, stranger, proof)
        assert use(world, who, proof)
        assert use(world, who, proof)
        assert use(world, None, proof), "whoever has the ledger's key has every right"
    # A configured client id means only its configured caller, not a caller of that name.
    with pytest.raises(PresenterError):
        use(world, caller("0oa1"), foreign(**{member: "0oa1"}))
    with pytest.raises(PresenterError):
        use(world, GATE, foreign("bob@example.org", iss=OTHER, **{member: "0oa1"}))
    assert marks(world) == []


def test_every_client_that_a_token_names_has_to_be_the_caller(world: World) -> None:
    assert use(world, GATE, foreign(azp="0oa1", client_id="system:gate"))
    for claims in ({"azp": "0oa1", "client_id": "app"}, {"azp": "app", "client_id": "0oa1"}):
        with pytest.raises(PresenterError):
            use(world, GATE, foreign(**claims))
    with pytest.raises(PresenterError):
        use(world, GATE, foreign(azp="0oa1", may_act={"sub": "system:lift"}))


def test_a_login_of_jitids_own_names_no_other_client(world: World) -> None:
    """Logins on a command line have the audience as `azp`: then the first presenter counts."""
    proof = foreign(azp="jitid")
    assert use(world, GATE, proof)
    with pytest.raises(PresenterError, match="before"):
        use(world, EVE, proof)


def test_an_agent_is_a_named_client_only_by_its_record(world: World) -> None:
    """The stated name of an agent is not a client: any caller can have an agent of that name."""
    planner = agent(world)
    for claims in ({"azp": "agent:planner"}, {"azp": "planner"}, {"may_act": {"sub": "agent:planner"}}):
        with pytest.raises(PresenterError):
            use(world, planner, foreign(**claims))
    world.register("planner")
    for claims in ({"azp": "agent:planner"}, {"may_act": {"sub": "agent:planner"}}):
        assert use(world, agent(world), foreign(**claims))


@pytest.mark.parametrize("change", ["suspended", "another owner"])
def test_an_agent_that_may_not_go_on_is_no_client(world: World, change: str) -> None:
    """The agent is still valid, but its own rights would not limit a credential obtained by the token."""
    world.know("user:alice")
    world.know("user:bob")
    world.register("planner", owner="user:alice")
    owner = caller("user:alice")
    (made,) = ask(world, owner, issue_operations.Issue(requests=(request(agent="planner", delegator=None),)))
    planner = world.authority.perform(Authenticate(bearer=made.credentials[0].secret))
    assert use(world, planner, foreign(azp="agent:planner"), agent="x", task="T-1")
    if change == "suspended":
        world.authority.perform(SuspendAgent(name="planner", most=None, keep_live=True))
    else:
        world.authority.perform(ChangeAgent(name="planner", stated=StatedAgent(owner="user:bob")))
    for claims in ({"azp": "agent:planner"}, {"may_act": {"sub": "agent:planner"}}):
        with pytest.raises(PresenterError, match=r"not that client|is not proved for"):
            use(world, planner, foreign(**claims), agent="x", task="T-2")
    with pytest.raises(PolicyDeniedError, match=r"agent-(users|suspended)"):
        use(world, planner, foreign(), agent="x", task="T-2")


@pytest.mark.parametrize("change", ["suspended", "another owner", "lent by one that ended"])
@pytest.mark.parametrize("who", [caller("user:alice"), EVE, caller("system:launcher", "issuer")])
@pytest.mark.parametrize("waiting", [False, True])
def test_an_agent_that_may_not_go_on_is_no_actor(
    world: World, who: Caller, change: str, waiting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds although the proved caller may use the name: otherwise the agent would regain it by that right."""
    world.know("user:alice", aliases=(f"{ISSUER} alice@example.com",))
    world.know("user:bob", aliases=(f"{ISSUER} bob@example.com",))
    world.register("planner", owner="user:alice")
    own = request(agent="planner", delegator=None)
    (made,) = ask(world, caller("user:alice"), issue_operations.Issue(requests=(own,)))
    if change == "lent by one that ended":
        lender = made
        plain = issue(world, EVE, agent="plain", delegator=None, task="T-eve")
        wanted = request(agent="planner", delegator=None, task=None)
        made = ask(
            world,
            EVE,
            Exchange(request=wanted, subject=bearer(plain), actor=bearer(made), actor_sort="jwt"),
        )
    may_act, actor = {"iss": world.ledger.names.issuer, "sub": "agent:planner"}, bearer(made)
    proved = "bob@example.com" if change == "another owner" else "alice@example.com"
    assert exchange(world, who, foreign(proved, may_act=may_act), actor)

    def end(*_: object) -> None:
        if change == "suspended":
            world.authority.perform(SuspendAgent(name="planner", most=None, keep_live=True))
        elif change == "another owner":
            world.authority.perform(ChangeAgent(name="planner", stated=StatedAgent(owner="user:bob")))
        else:
            world.revoke(lender.credentials[0].id)

    if waiting:
        foresee = issue_perform._foreseen
        monkeypatch.setattr(issue_perform, "_foreseen", lambda *asked: end(foresee(*asked)))
        with pytest.raises(PolicyDeniedError, match=r"agent-(users|suspended)"):
            exchange(world, who, foreign(proved, may_act=may_act), actor)
    else:
        end()
        with pytest.raises(PresenterError, match="is not proved for"):
            exchange(world, who, foreign(proved, may_act=may_act), actor)


@pytest.mark.parametrize("change", ["suspended", "another owner", "its actor ended"])
def test_what_was_foreseen_is_asked_again_of_who_acts(
    world: World, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change happens between the plan and the transaction, in the same second."""
    monkeypatch.setattr(SqliteLedger, "foresees", lambda *_, **__: True)
    world.know("user:alice")
    world.know("user:bob")
    world.register("planner", owner="user:alice")
    (made,) = ask(
        world,
        caller("user:alice"),
        issue_operations.Issue(requests=(request(agent="planner", delegator=None),)),
    )
    own = made.credentials[0]
    planner = world.authority.perform(Authenticate(bearer=own.secret))
    foresee = issue_perform._foreseen

    def waiting(*asked: Any) -> Any:
        found = foresee(*asked)
        if change == "suspended":
            world.authority.perform(SuspendAgent(name="planner", most=None, keep_live=True))
        elif change == "another owner":
            world.authority.perform(ChangeAgent(name="planner", stated=StatedAgent(owner="user:bob")))
        else:
            world.revoke(own.id)
        return found

    monkeypatch.setattr(issue_perform, "_foreseen", waiting)
    if change == "its actor ended":
        with pytest.raises(InvalidCredentialError, match=r"the actor's token is not valid: .*revoked"):
            exchange(world, caller("system:gate"), foreign(may_act={"sub": "agent:planner"}), own.secret)
    else:
        with pytest.raises(PolicyDeniedError, match=r"agent-(users|suspended)"):
            use(world, planner, foreign(azp="agent:planner"), agent="x", task="T-2")
    assert len(told(world, "issue")) == 1


def test_may_act_names_the_client_in_its_issuers_words_or_in_ours(world: World) -> None:
    for may_act in ({"sub": "0oa1"}, {"client_id": "0oa1", "iss": ISSUER}, {"sub": "system:gate"}):
        assert use(world, GATE, foreign(may_act=may_act))
    for may_act in (
        {"sub": "gate"},
        {"sub": "system:gate", "iss": ISSUER},
        {"sub": "0oa1", "iss": world.ledger.names.issuer},
        {"sub": "0oa1", "iss": OTHER},
    ):
        with pytest.raises(PresenterError, match="may_act"):
            use(world, GATE, foreign(may_act=may_act))
    with pytest.raises(PresenterError, match="may_act"):
        use(world, EVE, foreign(may_act={"sub": "0oa1"}))
    assert marks(world) == []


def test_a_key_that_a_token_names_has_to_be_proved(world: World) -> None:
    """Only the signature that authenticates the client proves the key."""
    key = world.authority.perform(
        GrantAccess(wanted=AccessRequest("system:signs", (), key=json.dumps(jwk(ED25519))))
    ).access
    bearer = world.authority.perform(GrantAccess(wanted=AccessRequest("system:bears"))).access
    signs, bears = (caller(each.name, credential=each.id) for each in (key, bearer))
    own = {"jkt": thumbprint(jwk(ED25519))}
    assert use(world, signs, foreign(cnf=own))
    assert use(world, signs, foreign(cnf={"jwk": jwk(ED25519)}))
    for who in (bears, EVE, agent(world), None):
        with pytest.raises(PresenterError, match="`cnf`"):
            use(world, who, foreign(cnf=own))
    others: tuple[dict[str, Any], ...] = (
        {},
        {"jkt": thumbprint(jwk(P256))},
        {"jwk": jwk(P256)},
        {"jwk": {}},
        {"x5t#S256": own["jkt"]},
        {**own, "x5t#S256": "x"},
        {"jkt": [own["jkt"]]},
        {"jkt": None},
        {"jwk": {"kty": "oct", "k": "AA"}},
    )
    for cnf in others:
        with pytest.raises(PresenterError, match="`cnf`"):
            use(world, signs, foreign(cnf=cnf))
    assert marks(world) == []


@in_both
def test_an_actors_token_is_presented_too(world: World) -> None:
    """One event records both marks. A token from a log does not make its finder the actor."""
    subject, actor = foreign(), foreign("builder@example.com")
    world.register("builder@example.com", owner="user:builder@example.com")
    assert exchange(world, GATE, subject, actor).agent == "builder@example.com"
    assert len(marks(world)) == 2
    assert len(told(world, "issue")[-1]["presented"]) == 2
    for pair in ((foreign(), actor), (subject, foreign("builder@example.com"))):
        with pytest.raises(PresenterError):
            exchange(world, EVE, *pair)
    with pytest.raises(PresenterError, match="the actor's token is not valid"):
        exchange(world, GATE, foreign(), foreign("builder@example.com", azp="app"))
    world.check()


@in_both
def test_an_approvers_token_counts_for_its_presenter(world: World) -> None:
    """A finder of the token cannot approve with it, and its first use elsewhere binds it here."""
    world.know("user:bob@example.com", groups=("security",))
    pay: dict[str, Any] = {"scopes": ["pay:out"], "agent": "payer"}

    def asked(task: str) -> str:
        with pytest.raises(ApprovalNeededError) as caught:
            world.issue(task=task, **pay)
        return caught.value.requests[0]

    first, second, bob = asked("T1"), asked("T2"), caller("user:bob@example.com")
    proof = foreign("bob@example.com")
    assert ask(world, bob, GrantApproval(id=first, approver_token=proof)).event is not None
    assert told(world, "approval-grant")[-1]["presented"] == [
        [each.digest, each.until] for each in marks(world)
    ]
    assert ask(world, bob, GrantApproval(id=first, approver_token=foreign("bob@example.com"))).event is None
    assert len(marks(world)) == 1
    for operation in (GrantApproval, DenyApproval):
        with pytest.raises(PresenterError, match="before"):
            ask(world, EVE, operation(id=second, approver_token=proof))
    assert told(world, "denial")[-1]["approval"] == second
    for claims in ({"azp": "app"}, {"may_act": {"sub": "system:gate"}}, {"cnf": {"jkt": "x"}}):
        with pytest.raises(PresenterError):
            ask(world, bob, GrantApproval(id=second, approver_token=foreign("bob@example.com", **claims)))
    with pytest.raises(PresenterError):
        use(world, EVE, proof)
    assert ask(world, bob, DenyApproval(id=second, approver_token=proof)).event is not None
    world.check()


SAM = "user:sam@example.com"
APP = {"azp": "0oa1"}
"""An ID token whose client is the gateway, with which its holder logged in."""


def _wanting(world: World, who: Caller, **fields: Any) -> str:
    """Request a scope that the group security must approve; return the id of the request."""
    with pytest.raises(ApprovalNeededError) as caught:
        wanted = request(**{"delegator": None, "agent": "payer", "scopes": ["pay:out"], **fields})
        ask(world, who, issue_operations.Issue(requests=(wanted,)))
    return caught.value.requests[0]


def _agent_of(world: World, who: Caller, **fields: Any) -> tuple[Caller, Secret]:
    """Issue an identity on behalf of a caller; return the agent as a caller, and its token."""
    wanted = request(**{"delegator": None, "agent": "payer", "scopes": ["*:out"], **fields})
    (made,) = ask(world, who, issue_operations.Issue(requests=(wanted,)))
    bearer = made.credentials[0].secret
    return world.authority.perform(Authenticate(bearer=bearer)), bearer


@pytest.mark.parametrize(
    "who", ["itself", "its agent", "a namesake by the directory", "its agent for the approver"]
)
@in_both
def test_a_requester_presents_no_approvers_token(world: World, who: str) -> None:
    """The requester's agents cannot present it either; only the approver or an uninvolved caller can."""
    world.know(SAM, groups=("security",))
    launcher = caller("system:gate", "issuer")
    id_ = _wanting(world, launcher)
    presenter, claims = launcher, APP
    if who == "its agent":
        (presenter, _), claims = _agent_of(world, launcher), {}
    elif who == "its agent for the approver":
        (presenter, _), claims = _agent_of(world, launcher, delegator=SAM), {}
    elif who == "a namesake by the directory":
        world.know("system:gate", aliases=("system:gate2",))
        presenter, claims = caller("system:gate2"), {}
    proof = foreign("sam@example.com", **claims)
    with pytest.raises(PolicyDeniedError, match="approver-requester"):
        ask(world, presenter, GrantApproval(id=id_, approver_token=proof))
    denial = told(world, "denial")[-1]
    assert (denial["approval"], denial["approver"]) == (id_, SAM)
    assert denial["presenter"] == (presenter.identity or presenter.name)
    assert _wanting(world, launcher) == id_
    # The approver in person, or another caller, may present it.
    other = foreign("sam@example.com")
    assert ask(world, EVE, GrantApproval(id=id_, approver_token=other)).event is not None
    assert told(world, "approval-grant")[-1]["presenter"] == "user:eve"
    ask(
        world,
        launcher,
        issue_operations.Issue(requests=(request(delegator=None, agent="payer", scopes=["pay:out"]),)),
    )
    second = _wanting(world, launcher)
    assert ask(world, caller(SAM), GrantApproval(id=second)).event is not None
    assert "presenter" not in told(world, "approval-grant")[-1]
    world.check()


@in_both
def test_who_stands_behind_a_request_presents_no_approvers_token(world: World) -> None:
    """Behind an agent's request are its delegator, the requester of the agent, and the delegator of the request."""
    world.know(SAM, groups=("security",))
    alice, launcher = caller("user:alice"), caller("system:gate", "issuer")
    own, bearer = _agent_of(world, alice)
    launched, held = _agent_of(world, launcher, delegator="user:alice")
    sibling, _ = _agent_of(world, alice, task="T2")
    child = {"task": None, "parent": bearer}
    for presenter, id_ in (
        (alice, _wanting(world, own, **child)),
        (own, _wanting(world, alice)),
        (sibling, _wanting(world, own, **child)),
        (alice, _wanting(world, launcher, delegator="user:alice")),
        (launcher, _wanting(world, launched, **{**child, "parent": held})),
    ):
        claims = APP if presenter is launcher else {}
        with pytest.raises(PolicyDeniedError, match="approver-requester"):
            proof = foreign("sam@example.com", **claims)
            ask(world, presenter, GrantApproval(id=id_, approver_token=proof))
    # An uninvolved person may present it. An agent may not, because any caller may have requested the agent.
    other, _ = _agent_of(world, EVE, task="T3")
    id_ = _wanting(world, own, **child)
    with pytest.raises(PolicyDeniedError, match="approver-requester"):
        ask(world, other, GrantApproval(id=id_, approver_token=foreign("sam@example.com")))
    assert ask(world, EVE, GrantApproval(id=id_, approver_token=foreign("sam@example.com"))).event
    world.check()


@in_both
@pytest.mark.parametrize("by", ["an agent of its", "its login"])
def test_who_had_a_requester_issued_is_found_to_the_end(world: World, by: str) -> None:
    """The gateway requested it through an agent, or over a socket, where its name is a login."""
    world.know(SAM, groups=("security",))
    gate = caller("system:gate")
    between = Caller("games", frozenset(), "system:gate", "os-user")
    if by == "an agent of its":
        between, _ = _agent_of(world, gate, task="T4")
    wanted = request(agent="payer", delegator=None, scopes=["*:out"], task="T5")
    operation = issue_operations.Issue(requests=(wanted,), delegator_token=foreign("alice@example.com"))
    (made,) = ask(world, between, operation)
    bearer = made.credentials[0].secret
    requester = world.authority.perform(Authenticate(bearer=bearer))
    id_ = _wanting(world, requester, task=None, parent=bearer)
    for presenter in (gate, Caller("games", frozenset(), "system:gate", "os-user")):
        with pytest.raises(PolicyDeniedError, match="approver-requester"):
            ask(world, presenter, GrantApproval(id=id_, approver_token=foreign("sam@example.com")))
    world.check()


@in_both
def test_a_grant_does_not_count_whose_presenter_turns_out_to_be_the_requester(world: World) -> None:
    world.know(SAM, groups=("security",))
    id_ = _wanting(world, GATE)
    ask(world, EVE, GrantApproval(id=id_, approver_token=foreign("sam@example.com")))
    world.know("system:gate", aliases=("user:eve",))
    assert _wanting(world, GATE) == id_


@in_both
def test_a_denial_needs_no_second_party_and_says_who_presented_the_token(world: World) -> None:
    """A requester may give up its request, and no caller gains by a denial."""
    world.know(SAM, groups=("security",))
    id_ = _wanting(world, GATE)
    assert ask(world, GATE, DenyApproval(id=id_, approver_token=foreign("sam@example.com", **APP))).event
    event = told(world, "approval-deny")[-1]
    assert (event["approver"], event["presenter"]) == (SAM, "system:gate")


def test_beside_the_ledger_an_approver_may_share_the_login_of_the_requester(world: World) -> None:
    """A local caller has every right anyway; `by` records the login."""
    world.know(SAM, groups=("security",))
    with pytest.raises(ApprovalNeededError) as caught:
        world.issue(scopes=["pay:out"])
    (id_,) = caught.value.requests
    world.authority.perform(GrantApproval(id=id_, approver_token=foreign("sam@example.com")))
    assert "presenter" not in told(world, "approval-grant")[-1]
    world.issue(scopes=["pay:out"])


@pytest.mark.parametrize("acts", ["by a token of ours", "by another issuer's"])
def test_who_acts_is_a_part_of_what_is_approved_and_approves_nothing(world: World, acts: str) -> None:
    """A gateway makes the request; neither the actor nor the delegators behind the actor can approve it."""
    gateway, alice = caller("system:gateway"), caller("user:alice")
    world.know("user:alice", groups=("security",), aliases=("user:payer@example.com",))
    for name in ("bob", "carol"):
        world.know(f"user:{name}", groups=("security",), aliases=(f"user:{name}@example.com",))
    world.know("user:sam", aliases=("user:sam@example.com",))
    agent_ = "payer" if acts == "by a token of ours" else "payer@example.com"
    world.register(agent_, owner="user:alice", users=("user:carol",))
    may_act = (
        {"iss": world.ledger.names.issuer, "sub": f"agent:{agent_}"}
        if acts == "by a token of ours"
        else {"iss": ISSUER, "sub": "payer@example.com"}
    )

    def held(who: Caller) -> Secret:
        if acts == "by another issuer's":
            return foreign("payer@example.com")
        return bearer(issue(world, who, agent=agent_, delegator=None, task=f"T-{who.name[5:]}"))

    def asks(actor: Secret) -> Issued:
        wanted = request(task="PAY", delegator=None, agent=agent_, scopes=("pay:out",))
        subject = foreign("sam@example.com", may_act=may_act)
        return ask(world, gateway, Exchange(request=wanted, subject=subject, actor=actor, actor_sort="jwt"))

    own = held(alice)
    with pytest.raises(ApprovalNeededError) as needed:
        asks(own)
    id_ = needed.value.requests[0]
    with pytest.raises(PolicyDeniedError, match=r"which is its actor|is its actor, as"):
        ask(world, alice, GrantApproval(id=id_))
    with pytest.raises(PolicyDeniedError, match="presents the token of `user:bob`"):
        ask(world, alice, GrantApproval(id=id_, approver_token=foreign("bob@example.com")))
    ask(world, caller("user:bob"), GrantApproval(id=id_))
    if acts == "by a token of ours":
        with pytest.raises(ApprovalNeededError) as other:
            asks(held(caller("user:carol")))
        assert other.value.requests != (id_,)
    assert asks(own).scopes == ("pay:out",)
    assert world.check()


def test_a_request_for_approval_is_a_use(world: World) -> None:
    """Otherwise a finder of a logged token could wait with it for an approver."""
    proof = foreign()
    with pytest.raises(ApprovalNeededError):
        use(world, GATE, proof, scopes=("pay:out",))
    assert [mark.presenter for mark in marks(world)] == ["system:gate"]
    with pytest.raises(PresenterError):
        use(world, EVE, proof, scopes=("pay:out",))
    world.check()


def test_an_issuer_proves_its_names_alone(world: World) -> None:
    """This holds for each operation, and an alias does not help."""
    world.know("user:alice@example.com", aliases=("user:carol@example.org",), groups=("security",))
    assert use(world, GATE, foreign("carol@example.org", iss=OTHER)).delegator == "user:alice@example.com"
    for proof in (foreign("alice@example.com", iss=OTHER), foreign("carol@example.org"), foreign("root")):
        for attempt in (use, exchange):
            with pytest.raises(InvalidCredentialError, match="not among the `names`"):
                attempt(world, GATE, proof)
        with pytest.raises(InvalidCredentialError, match="not among the `names`"):
            exchange(world, GATE, foreign(), proof)
        with pytest.raises(ApprovalNeededError) as caught:
            world.issue(scopes=["pay:out"])
        with pytest.raises(InvalidCredentialError, match="not among the `names`"):
            ask(world, GATE, GrantApproval(id=caught.value.requests[0], approver_token=proof))


def test_issuers_whose_names_overlap_prove_nobody(world: World) -> None:
    first, second = world._oidc
    world._oidc = (first, second._replace(names=("*.com",)))
    for proof in (foreign(), foreign("bob@example.com", iss=OTHER)):
        for attempt in (use, exchange):
            with pytest.raises(ConfigurationError, match="overlap") as caught:
                attempt(world, GATE, proof)
            assert caught.value.exit_status == 2
    assert told(world, "issue") == []


def test_an_issuer_does_not_prove_whom_the_directory_binds_to_another_ones_subject(world: World) -> None:
    """This holds for names and aliases, and for an address that the same issuer reassigned to another subject."""
    aliases = ("user:carol@example.org", f"{ISSUER} 4711")
    world.know("user:alice@example.com", aliases=aliases, groups=("security",))
    world._oidc = (world._oidc[0]._replace(claim="email"), world._oidc[1])
    mail = {"email": "alice@example.com", "email_verified": True}
    assert use(world, GATE, foreign("4711", **mail)).delegator == "user:alice@example.com"
    with pytest.raises(ApprovalNeededError) as caught:
        world.issue(scopes=["pay:out"], delegator="user:dave")
    (id_, *_) = caught.value.requests
    for proof in (foreign("carol@example.org", iss=OTHER), foreign("4712", **mail)):
        with pytest.raises(PolicyDeniedError, match="delegator-subject") as denied:
            use(world, GATE, proof)
        assert "--subject" in str(denied.value.hint)
        with pytest.raises(PolicyDeniedError, match="approver-subject"):
            ask(world, GATE, GrantApproval(id=id_, approver_token=proof))
    world.know("user:alice@example.com", aliases=(*aliases, f"{OTHER} carol@example.org"))
    assert use(world, GATE, foreign("carol@example.org", iss=OTHER)).delegator == "user:alice@example.com"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE presented SET presenter = 'user:eve'",
        "UPDATE presented SET until = until - 1",
        "UPDATE presented SET event = event - 1",
        "UPDATE presented SET token = (SELECT fingerprint FROM credential)",
        "DELETE FROM presented",
        "INSERT INTO presented SELECT fingerprint, 'user:eve', 1, event FROM credential",
    ],
)
@in_both
def test_a_mark_that_was_edited_is_found(world: World, change: str) -> None:
    """Promise 21: the audit log records the presenter of a token too."""
    use(world, GATE, foreign())
    world.check()
    edit(world.path, change)
    world.reopen()
    with pytest.raises(IntegrityError, match="mark of a foreign token"):
        world.check()


@in_both
def test_a_mark_goes_when_its_token_has_expired_long_ago(world: World) -> None:
    """It is kept until then by prunes and cuts; afterwards its absence does not count as an edit."""
    proof = foreign()
    use(world, GATE, proof)
    wait(world, 300 + REMEMBERED - 1)
    prune(world, 3_600)
    assert len(marks(world)) == 1
    world.check()
    wait(world, 1 + DAY)
    assert prune(world, 3_600).rows["presented"] == 1
    assert marks(world) == []
    world.check()


def test_a_new_mark_takes_the_place_of_old_ones(world: World) -> None:
    """This holds even if the ledger is never pruned."""
    use(world, GATE, foreign())
    wait(world, 301 + REMEMBERED)
    use(world, GATE, foreign(iat=world.clock.now, exp=world.clock.now + 300), task="T2")
    assert [mark.until for mark in marks(world)] == [world.clock.now + 300]
    world.check()


def test_a_clock_that_was_ahead_hides_no_edit(world: World) -> None:
    """A mark deleted while the clock was ahead was deleted correctly."""
    use(world, GATE, foreign())
    wait(world, 10 * DAY)
    prune(world, 3_600)
    wait(world, -10 * DAY)
    world.check()


def test_a_copy_knows_who_presented_a_token(world: World, tmp_path: Path) -> None:
    proof = foreign()
    use(world, GATE, proof)
    copied(world, tmp_path / "copy")
    with World(tmp_path / "copy", oidc=world._oidc, policy=[("p.cedar", POLICY)]) as copy:
        copy.check()
        with pytest.raises(PresenterError):
            use(copy, EVE, proof)
        assert use(copy, GATE, proof)


@in_both
def test_a_mark_outlives_a_cut_of_the_log(world: World, tmp_path: Path) -> None:
    """The event that records a mark is kept as long as the mark."""
    proof = foreign(exp=NOW + 30 * DAY)
    use(world, GATE, proof, kind="opaque")
    wait(world, 10 * DAY)
    world.issue(task="T2")
    prune(world, DAY)
    made = cut(world, tmp_path / "cut", 2 * DAY)
    assert made.exported
    world.check()
    with pytest.raises(PresenterError):
        use(world, EVE, proof, task="T3")
    assert use(world, GATE, proof, task="T3")
    world.check()
    edit(world.path, "DELETE FROM presented")
    world.reopen()
    with pytest.raises(IntegrityError, match="lacks the mark"):
        world.check()
