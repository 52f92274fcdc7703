"""A change that refuses a request also refuses it if it happens while the request waits for the ledger.

Other requests may write between the view and the transaction of a request. No table lists the changes that refuse it:
each request is performed once after the change, and once with the change just before its first transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import Authenticate, GrantAccess
from jitid.capabilities.directory.operations import (
    ChangeAgent,
    DisableDelegator,
    SuspendAgent,
    UnregisterAgent,
)
from jitid.capabilities.directory.registry import StatedAgent
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.approval_operations import DenyApproval, GrantApproval
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange
from jitid.errors import ApprovalNeededError, JitidError
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.model.access import Caller, OidcIssuer
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest, MayAct, RenewRequest
from jitid.values.names import spiffe_id
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue
from tests.authority.test_presenting import ISSUER, POLICY, foreign
from tests.builders import World, request
from tests.crypto.signed import P256, jwk

SERVICE = "https://api.example"
GATE, EVE, ROOT = caller("system:gate"), caller("user:eve"), caller("user:root", "admin")
PEOPLE = ("alice", "bob", "carol", "sam", "tim", "eve")


class Scene:
    """A ledger with an agent of alice's and one of tim's, their tokens, and requests that wait for an approval."""

    def __init__(self, path: Path) -> None:
        keys = path.parent / "keys.json"
        keys.write_text(json.dumps({"keys": [jwk(P256, kid="k")]}))
        keys.chmod(0o644)
        clients = (("bot-app", "agent:bot"),)
        self._issuer = OidcIssuer(ISSUER, str(keys), "jitid", names=("*@example.com",), clients=clients)
        self._path = path
        self.world = world = self._open(path)
        for name in PEOPLE:
            groups = ("security",) if name in ("bob", "carol") else ()
            world.know(f"user:{name}", groups=groups, aliases=(f"{ISSUER} {name}@example.com",))
        self.alice, self.bob, self.carol = (caller(f"user:{name}") for name in ("alice", "bob", "carol"))
        world.register("bot", owner="user:alice", users=("user:carol",), audiences=(SERVICE,))
        world.register("tim@example.com", owner="user:tim", audiences=(SERVICE,))
        wide: dict[str, Any] = {"delegator": None, "may_audience": (SERVICE,)}
        self.bot = bearer(issue(world, self.alice, agent="bot", task="T-bot", **wide))
        self.carols = bearer(issue(world, self.carol, agent="bot", task="T-carol", **wide))
        plain = issue(world, EVE, agent="plain", task="T-eve", **wide)
        self.plain = bearer(plain)
        self.plain_spiffe = spiffe_id(
            world.ledger.names.trust_domain, "plain", "T-eve", plain.credentials[0].id, registered=False
        )
        lent: dict[str, Any] = {"agent": "bot", "delegator": None, "task": None, "may_audience": (SERVICE,)}
        self.lent = bearer(self.exchanged(self.plain, self.bot, **lent))
        ask(world, self.alice, inventory_operations.ShareTask(task="T-bot", names=("user:eve",)))
        issue(world, EVE, delegator=None, agent="plain", task="user:alice/T-bot")
        self.shown = bearer(
            issue(
                world,
                EVE,
                agent="plain",
                delegator=None,
                task="T-shown",
                audiences=(SERVICE,),
                may_act=(MayAct("system:gate", ("https://other.example",)),),
            )
        )
        access = GrantAccess(wanted=AccessRequest("system:gate", (), 600, audiences=(SERVICE,)))
        granted = world.authority.perform(access)
        assert granted.secret is not None
        self.gate_access = granted.access.id
        self.gate = world.authority.perform(Authenticate(bearer=granted.secret))
        self.waiting = self.needs(lambda: self.pay(self.alice, "PAY-1"))
        self.granted = self.needs(lambda: self.pay(self.alice, "PAY-2"))
        ask(world, self.bob, GrantApproval(id=self.granted))

    def _open(self, path: Path) -> World:
        return World(path, oidc=(self._issuer,), policy=[("p.cedar", POLICY)])

    @contextmanager
    def copied(self, path: Path) -> Iterator[Scene]:
        """Yield the scene with a copy of its closed ledger."""
        copytree(self._path, path)
        scene = copy(self)
        scene.world = self._open(path)
        yield scene
        scene.world.close()

    def agent(self, token: Secret) -> Caller:
        return self.world.authority.perform(Authenticate(bearer=token))

    def pay(self, who: Caller, task: str) -> object:
        return issue(self.world, who, agent="payer", delegator=None, task=task, scopes=("pay:out",))

    def needs(self, asks: Callable[[], object]) -> str:
        with pytest.raises(ApprovalNeededError) as needed:
            asks()
        return needed.value.requests[0]

    def exchanged(self, subject: Secret, actor: Secret | None, who: Caller = EVE, **fields: Any) -> Any:
        wanted = request(**{"task": None, "delegator": None, "agent": "bot", **fields})
        return ask(self.world, who, Exchange(request=wanted, subject=subject, actor=actor, actor_sort="jwt"))


def proved(name: str, **claims: Any) -> Secret:
    """Return an ID token of this person."""
    return foreign(f"{name}@example.com", **claims)


def _may_act(scene: Scene) -> dict[str, str]:
    return {"iss": scene.world.ledger.names.issuer, "sub": "agent:bot"}


REQUESTS: dict[str, Callable[[Scene], object]] = {
    "the owner issues": lambda s: issue(s.world, s.alice, agent="bot", delegator=None, task="N1"),
    "who is listed issues": lambda s: issue(s.world, s.carol, agent="bot", delegator=None, task="N2"),
    "a client of a person's": lambda s: ask(
        s.world,
        s.agent(s.bot),
        issue_operations.Issue(
            requests=(request(agent="x", delegator=None, task="N3"),),
            delegator_token=proved("sam", azp="bot-app"),
        ),
    ),
    "a person's token": lambda s: ask(
        s.world,
        EVE,
        issue_operations.Issue(
            requests=(request(agent="x", delegator=None, task="N4"),), delegator_token=proved("sam")
        ),
    ),
    "an actor of ours for a person": lambda s: s.exchanged(proved("sam", may_act=_may_act(s)), s.bot),
    "an actor whose name is lent": lambda s: s.exchanged(proved("sam", may_act=_may_act(s)), s.lent),
    "an actor beside a chain": lambda s: s.exchanged(s.plain, s.bot),
    "an actor without a record for a person": lambda s: s.exchanged(
        proved("sam", may_act={"iss": s.world.ledger.names.issuer, "sub": s.plain_spiffe}), s.plain
    ),
    "a foreign actor for a person": lambda s: s.exchanged(
        proved("sam", may_act={"iss": ISSUER, "sub": "tim@example.com"}), proved("tim")
    ),
    "a foreign actor beside a chain": lambda s: s.exchanged(s.plain, proved("tim")),
    "an agent beside a chain": lambda s: issue(
        s.world, s.agent(s.bot), parent=s.plain, agent="bot", delegator=None, task=None
    ),
    "an agent delegates": lambda s: issue(
        s.world, s.agent(s.bot), parent=s.bot, agent="bot", delegator=None, task=None
    ),
    "an agent renews": lambda s: ask(
        s.world, s.agent(s.bot), issue_operations.Renew(request=RenewRequest(s.bot))
    ),
    "what is lent renews": lambda s: ask(
        s.world, s.agent(s.lent), issue_operations.Renew(request=RenewRequest(s.lent))
    ),
    "who is listed renews": lambda s: ask(
        s.world, s.carol, issue_operations.Renew(request=RenewRequest(s.carols))
    ),
    "what is lent attaches": lambda s: ask(
        s.world, s.agent(s.lent), Attach(request=AttachRequest(s.lent, "jwt", audiences=(SERVICE,)))
    ),
    "a service exchanges": lambda s: s.exchanged(
        s.shown, None, s.gate, agent="gate", audiences=("https://other.example",)
    ),
    "on a shared task": lambda s: issue(s.world, EVE, agent="plain", delegator=None, task="user:alice/T-bot"),
    "the owner shares": lambda s: ask(
        s.world, s.alice, inventory_operations.ShareTask(task="T-bot", names=("user:carol",))
    ),
    "the owner retires": lambda s: ask(s.world, s.alice, inventory_operations.Retire(task="T-bot")),
    "an approver grants": lambda s: ask(s.world, s.bob, GrantApproval(id=s.waiting)),
    "an approver denies": lambda s: ask(s.world, s.bob, DenyApproval(id=s.waiting)),
    "an approver's token grants": lambda s: ask(
        s.world, GATE, GrantApproval(id=s.waiting, approver_token=proved("carol"))
    ),
    "an approval is used": lambda s: s.pay(s.alice, "PAY-2"),
}


def _change(scene: Scene, **stated: Any) -> None:
    ask(scene.world, ROOT, ChangeAgent(name="bot", stated=StatedAgent(**stated)))


def _end(scene: Scene, token: Secret) -> None:
    scene.world.authority.perform(
        inventory_operations.Revoke(tokens=(token,), selection=Selection(), most=None)
    )


def _disable(name: str) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        scene.world.authority.perform(DisableDelegator(name=f"user:{name}", most=None, keep_live=True))

    return change


def _rename(name: str) -> Callable[[Scene], None]:
    """Return a change that binds a person to another subject in the directory."""

    def change(scene: Scene) -> None:
        scene.world.know(f"user:{name}", aliases=(f"{ISSUER} {name}-2@example.com",))

    return change


CHANGES: dict[str, Callable[[Scene], object]] = {
    "the agent is suspended": lambda s: ask(
        s.world, ROOT, SuspendAgent(name="bot", most=None, keep_live=True)
    ),
    "the agent is unregistered": lambda s: ask(
        s.world, ROOT, UnregisterAgent(name="bot", most=None, keep_live=True)
    ),
    "the agent has another owner": lambda s: _change(s, owner="user:bob"),
    "the agent has the person as its owner": lambda s: _change(s, owner="user:sam", users=()),
    "nobody is listed": lambda s: _change(s, users=()),
    "tim's agent has the person as its owner": lambda s: ask(
        s.world, ROOT, ChangeAgent(name="tim@example.com", stated=StatedAgent(owner="user:sam"))
    ),
    **{f"{name} is disabled": _disable(name) for name in PEOPLE},
    **{f"{name} has another subject": _rename(name) for name in PEOPLE},
    "bob leaves the group": lambda s: s.world.know("user:bob", groups=()),
    "carol leaves the group": lambda s: s.world.know("user:carol", groups=()),
    "the agent's token ends": lambda s: _end(s, s.bot),
    "carol's token ends": lambda s: _end(s, s.carols),
    "what is lent ends": lambda s: _end(s, s.lent),
    "the chain ends": lambda s: _end(s, s.plain),
    "what was shown ends": lambda s: _end(s, s.shown),
    "the agent's task ends": lambda s: s.world.authority.perform(
        inventory_operations.Retire(task="user:alice/T-bot")
    ),
    "the task is another's": lambda s: s.world.authority.perform(
        inventory_operations.GiveTask(task="user:alice/T-bot", to="user:eve")
    ),
    "the task is shared no more": lambda s: s.world.authority.perform(
        inventory_operations.ShareTask(task="user:alice/T-bot", names=("user:eve",), end=True)
    ),
    "the approval is denied": lambda s: ask(s.world, s.carol, DenyApproval(id=s.granted)),
    "the request is denied": lambda s: ask(s.world, s.carol, DenyApproval(id=s.waiting)),
}


def _answer(scene: Scene, asks: Callable[[Scene], object]) -> JitidError | None:
    try:
        asks(scene)
    except JitidError as error:
        return error
    return None


@contextmanager
def _made_before_the_first_transaction(change: Callable[[], object]) -> Iterator[None]:
    write = SqliteLedger.write
    made: list[Callable[[], object]] = []

    def waiting(ledger: SqliteLedger, **more: Any) -> Any:
        if not made:
            made.append(change)
            change()
        return write(ledger, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteLedger, "write", waiting)
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return a scene with a closed ledger, to be copied."""
    scene = Scene(tmp_path_factory.mktemp("meanwhile") / "ledger")
    scene.world.close()
    return scene


@pytest.mark.deep
@pytest.mark.parametrize("name", REQUESTS)
def test_what_changes_while_a_request_waits_counts_as_what_changed_before(
    original: Scene, tmp_path: Path, name: str
) -> None:
    asks, refused = REQUESTS[name], []
    with original.copied(tmp_path / "plain") as scene:
        assert _answer(scene, asks) is None
    for number, (what, change) in enumerate(CHANGES.items()):
        with original.copied(tmp_path / f"{number}-before") as scene:
            change(scene)
            before = _answer(scene, asks)
        with original.copied(tmp_path / f"{number}-meanwhile") as scene:
            with _made_before_the_first_transaction(partial(change, scene)):
                meanwhile = _answer(scene, asks)
            assert scene.world.check()
        if before is not None:
            refused.append(what)
            assert meanwhile is not None, f"{what}: {before}"
    assert refused, "no change refuses it"
