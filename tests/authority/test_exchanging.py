"""The standard protocols for tokens: exchange with its actor, introspection by verifiers, and revocation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import token_perform as exchanging
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange, Introspect, RevokeToken
from jitid.errors import (
    InvalidCredentialError,
    PolicyDeniedError,
    PresenterError,
    RefusedError,
    UsageError,
)
from jitid.model.access import Caller, OidcIssuer, TokenType
from jitid.model.credential import MADE, OUTSIDE
from jitid.model.request import AttachRequest, MayAct
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue, told
from tests.builders import NOW, PERMIT_ALL, World, policed, request
from tests.crypto.signed import P256, jwk, token

ISSUER = "https://id.example"
AGENT = Caller("agent:planner", frozenset(), agent="planner")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a ledger whose authority trusts two issuers."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [jwk(P256, kid="k")]}))
    keys.chmod(0o644)
    issuer = OidcIssuer(ISSUER, str(keys), "jitid", algorithms=("ES256",))
    machines = OidcIssuer("https://ci.example", str(keys), "jitid", kind="system", algorithms=("ES256",))
    with World(tmp_path / "ledger", oidc=(issuer, machines)) as made:
        yield made


def foreign(typ: str = "JWT", **claims: Any) -> Secret:
    """Return a token of the configured issuer."""
    plain = {"iss": ISSUER, "aud": "jitid", "sub": "alice", "iat": NOW, "exp": NOW + 300}
    plain["jti"] = os.urandom(8).hex()
    return Secret.single(token({"alg": "ES256", "typ": typ, "kid": "k"}, {**plain, **claims}, P256))


def exchange(
    world: World,
    who: Caller | None,
    subject: Secret,
    sort: TokenType = "jwt",
    *,
    actor: Secret | None = None,
    actor_sort: TokenType = "jwt",
    **fields: Any,
) -> Issued:
    """Exchange a token on behalf of a caller, or locally for None."""
    fields = {"task": None, "delegator": None, "agent": "planner", **fields}
    operation = Exchange(
        request=request(**fields), subject=subject, subject_sort=sort, actor=actor, actor_sort=actor_sort
    )
    return world.authority.perform(operation) if who is None else ask(world, who, operation)


@pytest.mark.parametrize(
    ("typ", "sort"), [("JWT", "id_token"), ("JWT", "jwt"), ("at+jwt", "access_token"), ("at+jwt", "jwt")]
)
def test_a_token_of_a_configured_issuer_proves_who_delegates(world: World, typ: str, sort: TokenType) -> None:
    """The caller becomes the actor, under its own name."""
    issued = exchange(world, AGENT, foreign(typ), sort, task="T1")
    assert (issued.delegator, issued.delegator_proof, issued.agent) == ("user:alice", "oidc", "planner")
    assert world.events()[-1]["by"] == "agent:planner"


@pytest.mark.parametrize(
    ("typ", "sort"), [("JWT", "access_token"), ("at+jwt", "id_token"), ("vc+jwt", "jwt")]
)
def test_no_token_is_taken_for_one_of_another_sort(world: World, typ: str, sort: TokenType) -> None:
    """RFC 8725, section 3.11 requires this; the refusal is recorded."""
    with pytest.raises(InvalidCredentialError, match="type must be"):
        exchange(world, AGENT, foreign(typ), sort)
    (denial,) = told(world, "denial")
    assert (denial["by"], denial["agent"]) == ("agent:planner", "planner")


def test_a_token_of_ours_delegates(world: World) -> None:
    """The child descends from it, on its task, with at most its rights."""
    parent = world.issue(scopes=("repo:read", "repo:write"), task="T1")
    issued = exchange(world, AGENT, Secret.single(parent.token), "access_token", scopes=("repo:read",))
    assert (issued.parent, issued.depth, issued.task) == (parent.id, 1, "T1")
    with pytest.raises(PolicyDeniedError) as caught:
        exchange(world, AGENT, Secret.single(parent.token), scopes=("repo:delete",))
    assert caught.value.about == "scope"
    with pytest.raises(PolicyDeniedError) as caught:
        exchange(world, AGENT, Secret.single(parent.token), audiences=("https://api.example",))
    assert caught.value.about == "audience"


def test_an_opaque_token_is_an_access_token_and_nothing_else(world: World) -> None:
    parent = Secret.single(world.issue(kind="opaque").token)
    assert exchange(world, AGENT, parent, "access_token").depth == 1
    for sort in ("jwt", "id_token"):
        with pytest.raises(InvalidCredentialError, match="opaque"):
            exchange(world, AGENT, parent, sort)


def test_a_token_of_ours_is_no_id_token(world: World) -> None:
    with pytest.raises(InvalidCredentialError, match="type ID token was stated"):
        exchange(world, AGENT, Secret.single(world.issue().token), "id_token")


def test_a_dead_token_delegates_nothing(world: World) -> None:
    made = world.issue()
    world.revoke(made.id)
    with pytest.raises(InvalidCredentialError, match="revoked"):
        exchange(world, AGENT, Secret.single(made.token))
    with pytest.raises(InvalidCredentialError, match="expired"):
        exchange(world, AGENT, foreign(exp=NOW - 1))
    with pytest.raises(InvalidCredentialError, match="not configured"):
        exchange(world, AGENT, foreign(iss="https://evil.example"))
    with pytest.raises(InvalidCredentialError, match="three dot-separated parts"):
        exchange(world, AGENT, Secret.single("nonsense"))


def test_the_actors_token_says_who_acts(world: World) -> None:
    """The new token is on the actor's task, unless the request names another."""
    actor = Secret.single(world.issue(agent="coder", task="T9", delegator="user:carol").token)
    issued = exchange(world, AGENT, foreign(), actor=actor)
    assert (issued.agent, issued.task, issued.delegator, issued.depth) == ("coder", "T9", "user:alice", 0)
    machine = foreign(iss="https://ci.example", sub="builder")
    world.register("builder", owner="system:builder")
    assert exchange(world, AGENT, foreign(), actor=machine, actor_sort="id_token").agent == "builder"
    world.revoke(world.issue(agent="coder").id)
    with pytest.raises(InvalidCredentialError, match="the actor's token is not valid"):
        exchange(world, AGENT, foreign(), actor=Secret.single(actor.reveal()[:-1]))


@pytest.mark.parametrize("who", [AGENT, caller("system:ci", "issuer")])
def test_whom_another_issuer_names_is_not_an_agent(world: World, who: Caller) -> None:
    """Otherwise a person named `deployer` at that issuer could act as the agent of that name here."""
    machine = foreign(iss="https://ci.example", sub="builder")
    with pytest.raises(RefusedError, match="is not the owner of a registered agent"):
        exchange(world, who, foreign(), actor=machine, actor_sort="id_token")
    assert told(world, "issue") == []


def test_a_foreign_name_is_an_agents_name_only_by_its_record(world: World) -> None:
    """Otherwise every account that gets the name at an issuer could act as the agent."""
    for owner in (None, "system:other"):
        if owner is not None:
            world.register("builder", owner=owner)
        with pytest.raises(RefusedError, match="is not the owner of a registered agent"):
            exchange(world, AGENT, foreign(), actor=foreign(iss="https://ci.example", sub="builder"))
    world.know("system:ci", aliases=("system:builder",))
    world.register("builder", owner="system:ci")
    assert exchange(world, AGENT, foreign(), actor=foreign(iss="https://ci.example", sub="builder"))
    world.know("system:ci", aliases=("system:builder", "https://id.example 4711"))
    with pytest.raises(RefusedError, match="is not the owner of a registered agent"):
        exchange(world, AGENT, foreign(), actor=foreign(iss="https://ci.example", sub="builder"))
    world.know("system:ci", aliases=("system:builder",))
    world.register("builder", owner="system:ci", unregistered_at=NOW)
    with pytest.raises(RefusedError, match="is not the owner of a registered agent"):
        exchange(world, AGENT, foreign(), actor=foreign(iss="https://ci.example", sub="builder"))


def test_a_foreign_name_counts_for_the_owner_whom_it_proves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not count for an owner that received the record while the request waited."""
    world.register("builder", owner="system:builder")
    look = exchanging._actor

    def waiting(*asked: Any) -> Any:
        found = look(*asked)
        world.register("builder", owner=owners[0])
        return found

    owners = ["system:other"]

    def asks(sub: str = "alice") -> Issued:
        machine = foreign(iss="https://ci.example", sub="builder")
        return exchange(world, caller("user:eve"), foreign(sub=sub), actor=machine, actor_sort="id_token")

    assert asks().agent == "builder"
    assert told(world, "issue")[-1]["named_by"] == "system:builder"
    monkeypatch.setattr(exchanging, "_actor", waiting)
    with pytest.raises(PolicyDeniedError, match="does not let"):
        asks()
    # It does not count for the new owner even if the subject's token proves that owner.
    owners[:] = ["user:sam"]
    world.register("builder", owner="system:builder")
    with pytest.raises(PolicyDeniedError, match="does not let `system:builder`"):
        asks("sam")
    monkeypatch.undo()
    with pytest.raises(RefusedError, match="is not the owner of a registered agent"):
        asks()


@pytest.mark.parametrize("change", ["another subject", "no alias", "disabled"])
def test_whom_an_actors_token_proves_is_found_out_in_the_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The directory may no longer know the subject or the name, although the record has the same owner."""
    subjects = {"another subject": "https://ci.example builder", "no alias": "system:builder"}
    alias = subjects.get(change, "system:builder")
    world.know("system:tom", aliases=(alias,))
    world.register("builder", owner="system:tom")
    changes: dict[str, dict[str, Any]] = {
        "another subject": {"aliases": ("https://ci.example other",)},
        "no alias": {"aliases": ()},
        "disabled": {"disabled_at": NOW},
    }

    def asks() -> Issued:
        machine = foreign(iss="https://ci.example", sub="builder")
        return exchange(world, caller("user:eve"), foreign(), actor=machine, actor_sort="id_token")

    assert asks().agent == "builder"
    look = exchanging._actor

    def waiting(*asked: Any) -> Any:
        found = look(*asked)
        world.know("system:tom", **changes[change])
        return found

    monkeypatch.setattr(exchanging, "_actor", waiting)
    with pytest.raises((PolicyDeniedError, InvalidCredentialError), match=r"does not let|was disabled"):
        asks()
    monkeypatch.undo()
    with pytest.raises(
        (RefusedError, InvalidCredentialError), match=r"is not the owner of a registered agent|was disabled"
    ):
        asks()
    assert len(told(world, "issue")) == 1


def test_a_client_acts_as_itself_unless_it_is_an_issuer(world: World) -> None:
    """A caller that may name any delegator may also name any agent."""
    with pytest.raises(RefusedError, match="may not name `root` as the actor"):
        exchange(world, AGENT, foreign(), agent="root")
    service = caller("system:launcher")
    assert exchange(world, service, foreign(), agent="launcher").agent == "launcher"
    with pytest.raises(RefusedError):
        exchange(world, service, foreign(), agent="planner")
    assert exchange(world, caller("system:launcher", "issuer"), foreign()).agent == "planner"
    assert exchange(world, None, foreign()).agent == "planner"


@pytest.mark.parametrize(
    "may_act",
    [
        {"sub": "planner"},
        {"sub": "agent:planner"},
        {"client_id": "planner"},
        {"sub": "planner", "client_id": "planner"},
    ],
)
def test_whom_the_subjects_token_lets_act_may(world: World, may_act: dict[str, Any]) -> None:
    """The agent must be registered: an unregistered agent's name is not proved."""
    with pytest.raises(PresenterError, match="may_act"):
        exchange(world, AGENT, foreign(may_act=may_act))
    assert exchange(world, _planner(world), foreign(may_act=may_act)).agent == "planner"


def _planner(world: World) -> Caller:
    """Return a registered agent that authenticates with its own credential."""
    world.register("planner")
    return AGENT._replace(credential=world.issue(agent="planner", task="T-planner").jti)


def test_an_agent_that_is_called_as_a_person_is_not_that_person(world: World) -> None:
    world.register("user:bob")
    bob = Caller("agent:user:bob", frozenset(), agent="user:bob")
    bob = bob._replace(credential=world.issue(agent="user:bob", task="T-bob").jti)
    with pytest.raises(PresenterError, match="may_act"):
        exchange(world, bob, foreign(may_act={"sub": "user:bob"}), agent="user:bob")
    assert (
        exchange(world, bob, foreign(may_act={"sub": "agent:user:bob"}), agent="user:bob").agent == "user:bob"
    )


@pytest.mark.parametrize(
    "may_act",
    [
        {},
        {"sub": "coder"},
        {"sub": ["planner"]},
        {"sub": "planner", "client_id": "coder"},
        {"sub": "planner", "iss": "https://id.example"},
        {"sub": "planner", "email": "planner@example.com"},
        {"iss": "urn:jitid:0"},
        "planner",
        ["planner"],
    ],
)
def test_whom_it_does_not_let_act_may_not(world: World, may_act: object) -> None:
    """Every member of `may_act` counts (RFC 8693, section 4.4)."""
    planner = _planner(world)
    with pytest.raises(InvalidCredentialError, match="may_act"):
        exchange(world, planner, foreign(may_act=may_act))
    assert len(told(world, "issue")) == 1


def test_an_actors_token_is_what_may_act_is_held_against(world: World) -> None:
    """The actor's issuer is compared too; the caller that presents the tokens is not."""
    machine = foreign(iss="https://ci.example", sub="builder")
    world.register("builder", owner="system:builder")
    let = {"sub": "builder", "iss": "https://ci.example"}
    assert exchange(world, AGENT, foreign(may_act=let), actor=machine).agent == "builder"
    for may_act in (
        {"sub": "planner"},
        # A name without `iss` belongs to the token's own issuer, so this is another builder.
        {"sub": "builder"},
        {"sub": "builder", "iss": ISSUER},
        {"client_id": "builder"},
    ):
        with pytest.raises(InvalidCredentialError, match="may_act"):
            exchange(world, AGENT, foreign(may_act=may_act), actor=machine)
    made = world.issue(agent="coder")
    own = f"spiffe://{world.ledger.names.trust_domain}/ephemeral/coder/T1/{made.id}"
    let = {"sub": own, "iss": world.ledger.names.issuer}
    assert exchange(world, AGENT, foreign(may_act=let), actor=Secret.single(made.token)).agent == "coder"


def test_an_issue_by_such_a_token_is_bound_by_it_too(world: World) -> None:
    """A caller does not prove the agent that it states."""
    operation = issue_operations.Issue(
        requests=(request(delegator=None, agent="planner"),),
        delegator_token=foreign(may_act={"sub": "planner"}),
    )
    planner = _planner(world)
    with pytest.raises(PresenterError, match="may_act"):
        ask(world, caller("user:eve"), operation)
    (issued,) = ask(world, planner, operation)
    assert issued.delegator == "user:alice"
    assert world.authority.perform(operation)


def test_a_launcher_acts_as_a_registered_agent_alone(world: World) -> None:
    """The role issuer may name any agent, but that does not prove the name of an unregistered agent."""
    launcher = caller("system:launcher", "issuer")
    with pytest.raises(PresenterError, match="may_act"):
        exchange(world, launcher, foreign(may_act={"sub": "planner"}))
    world.register("planner")
    assert exchange(world, launcher, foreign(may_act={"sub": "planner"})).agent == "planner"


def test_nobody_says_themselves_who_is_proved(world: World) -> None:
    """Only the authority verifies tokens."""
    forged = request(delegator=None, proved_delegator="user:alice", proved_subject=f"{ISSUER} alice")
    for roles in ((), ("issuer",)):
        with pytest.raises(RefusedError, match="may not set the result of a token check"):
            ask(world, caller("user:eve", *roles), issue_operations.Issue(requests=(forged,)))
        with pytest.raises(RefusedError):
            ask(world, caller("user:eve", *roles), Exchange(request=forged, subject=foreign()))
    for fields in ({"delegator": "user:bob"}, {"parent": Secret.single("x")}):
        with pytest.raises(UsageError):
            exchange(world, AGENT, foreign(), **fields)
    assert told(world, "issue") == []


def test_a_task_that_nobody_named_is_new_each_time(world: World) -> None:
    tasks = {exchange(world, AGENT, foreign()).task for _ in range(3)}
    assert len(tasks) == 3
    assert all(task.startswith("planner-") for task in tasks)
    again, subject = AGENT._replace(key="k-1"), foreign()
    assert exchange(world, again, subject).task == exchange(world, again, subject).task
    long = "a" * 128
    other = caller("agent:" + long, agent=long)
    assert len(exchange(world, other, foreign(), agent=long).task) == 128


def test_a_valid_token_is_told_to_verifiers(world: World) -> None:
    """The answer includes the identities above it."""
    made = world.chain(3)
    gate = caller("system:gate", "verifier")
    found = ask(world, gate, Introspect(token=Secret.single(made[-1].token)))
    assert (found.credential.jti, [one.id for one in found.lineage]) == (
        made[-1].jti,
        [made[1].id, made[0].id],
    )
    for role in ("issuer", "sweeper"):
        with pytest.raises(RefusedError):
            ask(world, caller("system:other", role), Introspect(token=Secret.single(made[0].token)))
    world.revoke(made[0].id)
    with pytest.raises(InvalidCredentialError):
        ask(world, gate, Introspect(token=Secret.single(made[-1].token)))


def test_who_may_end_a_token(world: World) -> None:
    """These are its requester, its delegator, its holder, the holder of an identity above it, and responders."""
    bob = caller()
    for who in (bob, caller("system:irt", "responder")):
        mine = bearer(issue(world, bob, delegator=None))
        ended = ask(world, who, RevokeToken(token=mine, reason="done"))
        assert ended is not None
        assert ended.credentials == 1
        assert ask(world, who, RevokeToken(token=mine)).credentials == 0  # type: ignore[union-attr]
    launched = bearer(issue(world, caller("system:launcher", "issuer"), delegator="user:bob"))
    assert ask(world, bob, RevokeToken(token=launched))
    chain = world.chain(3)
    holder = AGENT._replace(credential=chain[1].jti)
    with pytest.raises(RefusedError):
        ask(world, holder, RevokeToken(token=Secret.single(chain[0].token)))
    assert ask(world, holder, RevokeToken(token=Secret.single(chain[2].token)))
    assert ask(world, holder, RevokeToken(token=Secret.single(chain[1].token)))
    assert world.verify(chain[0].token)


def test_a_jwt_svid_is_a_token_and_no_access_token(world: World) -> None:
    made = Secret.single(world.issue(kind="jwt-svid").token)
    with pytest.raises(InvalidCredentialError, match="not an access token"):
        exchange(world, AGENT, made, "access_token")
    with pytest.raises(InvalidCredentialError, match="grants no right"):
        exchange(world, AGENT, made, "jwt")


TOKENS_ALONE = ("jwt", "opaque")


@pytest.mark.parametrize("kind", [kind.value for kind in MADE if kind not in OUTSIDE])
def test_whoever_was_shown_a_token_exchanges_it_for_a_token_alone(world: World, kind: str) -> None:
    """Other kinds have no audience, so the audiences that the holder named would not limit them."""
    world.terms = policed(world.terms, PERMIT_ALL)
    api, db = "https://api.example", "https://db.example"
    gateway = caller("system:gateway", audiences=(api,))
    held = world.issue(
        may_audience=(api, db), may_kind=("jwt", "opaque", "jwt-svid", "x509-svid", "ssh-cert")
    )
    let = (MayAct(gateway.name, (db,)),)
    wanted = AttachRequest(Secret.single(held.token), "jwt", audiences=(api,), may_act=let)
    attached = world.authority.perform(Attach(request=wanted))
    shown = (bearer(attached), bearer(issue(world, caller(), delegator=None, audiences=(api,), may_act=let)))
    for one in shown:
        for asked in ({"kind": kind}, {"may_kind": (kind,)}):
            fields: dict[str, Any] = {"agent": "gateway", "audiences": (db,), **asked}
            if kind in TOKENS_ALONE:
                got = exchange(world, gateway, one, "access_token", **fields)
                assert set(world.verify(bearer(got).reveal(), db).may_kind or ()) <= set(TOKENS_ALONE)
            else:
                with pytest.raises((UsageError, PolicyDeniedError), match="kind"):
                    exchange(world, gateway, one, "access_token", **fields)
    assert world.check()
