"""The world of the matrix: callers with their tokens and objects, and the state before each operation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import Authenticate, BootstrapAccess, GrantAccess
from jitid.capabilities.adopt.operations import Adopt
from jitid.capabilities.adopt.read_secret import of_secret
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.trust.operations import RequestAuthority
from jitid.errors import ApprovalNeededError, JitidError
from jitid.model.access import ROLES, Caller
from jitid.model.adopted import StandingSecret
from jitid.model.credential import Credential
from jitid.model.request import AttachRequest, MayAct, RenewRequest
from jitid.operation.base import Operation
from jitid.policy.default import default_files
from jitid.search.pasted import search_pasted
from jitid.values.secret import Secret
from tests.authority.callers import ask
from tests.builders import KINDS, World, policed, request
from tests.offlineroot import certified

API, BACKEND = "https://api.example", "https://backend.example"
GATEWAY = "system:gateway"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Wm0y1VxSyTjA1hDkF4BNHR9JC+Ld3sE2kQhV9Qm1z"
POLICY = (
    *default_files(),
    ("kinds.cedar", KINDS),
    (
        "pay.cedar",
        """@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource) when { context.scope == "pay:out" };
""",
    ),
)


class Held(NamedTuple):
    """A token and its credential."""

    token: Secret
    id: str
    jti: str
    delegator: str | None = None


class Scene:
    """An authority that returns to its first state after each operation that changed it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.callers: dict[str, Caller] = {}
        self.tokens: dict[str, Held] = {}
        self.approvals: dict[str, str] = {}
        self.access: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self.world = self._world()
        _people(self)
        _agents(self)
        _things(self)
        self.world.close()
        shutil.copytree(folder / "ledger", folder / "pristine")
        self.world = self._world()
        self._before = self.world.head().seq
        self._live = self._living()
        self._labels = {held.jti: label for label, held in self.tokens.items()}
        self.rows = {label: self._row(held.jti) for label, held in self.tokens.items() if held.jti}

    def _row(self, jti: str) -> Credential:
        return self.world.authority.perform(inventory_operations.Inspect(id=jti)).credential

    def _world(self) -> World:
        world = World(self.folder / "ledger", publish_url="https://tokens.example")
        world.terms = policed(world.terms, POLICY)
        return world

    def perform(self, who: Caller | None, operation: Operation[Any]) -> object:
        """Perform an operation completely, for a caller or locally for None; return its answer or its error."""
        try:
            answer = (
                self.world.authority.perform(operation) if who is None else ask(self.world, who, operation)
            )
            return list(answer) if isinstance(answer, Iterator) else answer
        except JitidError as error:
            return error

    def label(self, jti: str) -> str:
        """Return the name of a credential's token; if it has no name, its `jti`."""
        return self._labels.get(jti, jti)

    def ended(self) -> set[str]:
        """Return the names of the tokens that have ended since the start."""
        return {self.label(jti) for jti in self._live - self._living()}

    def _living(self) -> set[str]:
        chosen = Filter(live=True)
        operation = inventory_operations.ListCredentials(
            chosen=chosen, sort="id", descending=False, after=None, limit=999
        )
        return {one.jti for one in self.world.authority.perform(operation).credentials}

    def restore(self) -> set[str]:
        """Restore the first state after a change; return the operations of the events that recorded the change."""
        if self.world.head().seq == self._before:
            return set()
        changes = {event["op"] for event in self.world.events() if event["seq"] > self._before}
        changes -= {"denial", "denials", "reads"}
        if changes:
            self.world.close()
            shutil.rmtree(self.folder / "ledger")
            shutil.copytree(self.folder / "pristine", self.folder / "ledger")
            self.world = self._world()
        self._before = self.world.head().seq
        return changes


def _people(scene: Scene) -> None:
    world = scene.world
    for name in ("user:alice", "user:bob", "user:dan"):
        world.know(name)
    world.know("user:carol", groups=("security",))
    world.know("user:dora", groups=("catering",))
    world.know("user:gone", disabled_at=world.clock.now)
    scene.callers["bootstrap"] = _known(
        scene, world.authority.perform(BootstrapAccess(file="root.token")).secret
    )
    scene.callers["stranger"] = Caller("eve", frozenset(), "user:eve", "os-user")
    granted: dict[str, AccessRequest] = {
        "owner": AccessRequest("user:alice"),
        "somebody": AccessRequest("user:dan"),
        "service": AccessRequest("system:orders", audiences=(API,)),
        "gateway": AccessRequest(GATEWAY, audiences=(API,)),
        "gateway elsewhere": AccessRequest(GATEWAY, audiences=(BACKEND,)),
        "approver": AccessRequest("user:carol"),
        "bystander": AccessRequest("user:dora"),
        "verifier": AccessRequest("system:guard", ("verifier",), all_audiences=True),
        "api verifier": AccessRequest("system:api", ("verifier",), audiences=(API,)),
        **{role: AccessRequest(f"user:{role}", (role,)) for role in ROLES if role != "verifier"},
    }
    for label, wanted in granted.items():
        made = world.authority.perform(GrantAccess(wanted=wanted))
        if label != "somebody":
            scene.callers[label] = _known(scene, made.secret)
        scene.access[label] = made.access.id
        if label == "admin":
            assert made.secret is not None
            scene.tokens["access"] = Held(made.secret, "", "")


def _known(scene: Scene, bearer: Secret | None) -> Caller:
    assert bearer is not None
    return scene.world.authority.perform(Authenticate(bearer=bearer))


def _agents(scene: Scene) -> None:
    world, owner = scene.world, scene.callers["owner"]
    reach: dict[str, Any] = {"may_audience": (API, BACKEND), "scopes": ("a:b",), "delegator": None}
    kinds = ("jwt", "opaque", "jwt-svid", "x509-svid", "ssh-cert")
    grant = {**reach, "may_kind": kinds, "scopes": ("a:b", "pay:*")}
    _keep(scene, "superseded", _issue(scene, owner, task="INC-1", **grant))
    before = scene.callers["agent before"] = _known(scene, scene.tokens["superseded"].token)
    renewal = issue_operations.Renew(request=RenewRequest(scene.tokens["superseded"].token))
    _keep(scene, "head", ask(world, before, renewal))
    held = scene.tokens["head"].token
    agent = scene.callers["agent"] = _known(scene, held)
    # Further identities of an agent of the same name, for the same person.
    _keep(scene, "identity", _issue(scene, owner, task="INC-3", **grant))
    scene.callers["namesake"] = _known(scene, scene.tokens["identity"].token)
    _keep(scene, "opaque identity", _issue(scene, owner, task="INC-1", kind="opaque", **grant))
    _keep(scene, "ended", _issue(scene, owner, task="INC-1", **grant))
    world.revoke(scene.tokens["ended"].id)
    for label, kind, more in (
        ("service", "jwt", {}),
        ("opaque service", "opaque", {}),
        ("exchangeable", "jwt", {"may_act": (MayAct(GATEWAY, (BACKEND,)),)}),
        ("jwt-svid", "jwt-svid", {}),
        ("x509-svid", "x509-svid", {}),
        ("ssh-cert", "ssh-cert", {"public_key": SSH_KEY}),
    ):
        audiences = () if kind in ("x509-svid", "ssh-cert") else (API,)
        wanted = AttachRequest(held, kind, audiences=audiences, **more)
        _keep(scene, label, ask(world, agent, Attach(request=wanted)))
    _keep(scene, "child", _issue(scene, agent, agent="coder", parent=held, task="INC-1/2", **reach))
    scene.callers["child"] = _known(scene, scene.tokens["child"].token)
    exchange = Exchange(
        request=request(task=None, delegator=None, agent="gateway", audiences=(BACKEND,), scopes=("a:b",)),
        subject=scene.tokens["exchangeable"].token,
    )
    _keep(scene, "exchanged", ask(world, scene.callers["gateway"], exchange))
    launched = _issue(scene, scene.callers["issuer"], task="INC-5", **{**reach, "delegator": "user:dan"})
    _keep(scene, "launched", launched)
    _keep(scene, "eve's", _issue(scene, scene.callers["stranger"], task="INC-6", **reach))
    bob = Caller("user:bob", frozenset(), "user:bob", "os-user")
    _issue(scene, bob, task="INC-4", agent="scout", delegator=None)
    ask(world, owner, inventory_operations.ShareTask(task="INC-3", names=("user:bob",)))
    _keep(scene, "other", _issue(scene, bob, task="user:alice/INC-3", agent="scout", **reach))
    scene.callers["other agent"] = _known(scene, scene.tokens["other"].token)
    with World(scene.folder / "foreign") as foreign:
        scene.tokens["foreign"] = Held(Secret.single(foreign.issue().token), "", "")


def _issue(scene: Scene, who: Caller, **fields: Any) -> Issued:
    (issued,) = ask(scene.world, who, issue_operations.Issue(requests=(request(**fields),)))
    return issued


def _keep(scene: Scene, label: str, issued: Issued) -> None:
    (one,) = issued.credentials
    secret = one.secret
    token = Secret.single(secret.reveal(next(name for name in secret.names if name != "key")))
    scene.tokens[label] = Held(token, one.id, one.jti, issued.delegator)


def _things(scene: Scene) -> None:
    """Make the objects of operations that need a role."""
    world, facts = scene.world, scene.facts
    for label, who in (("owner", "owner"), ("agent", "agent")):
        parent = None if who == "owner" else scene.tokens["head"].token
        wanted = {"scopes": ("pay:out",), "agent": "payer", "delegator": None, "parent": parent}
        try:
            _issue(scene, scene.callers[who], **wanted)
        except ApprovalNeededError as needed:
            scene.approvals[label] = needed.requests[0]
    leaked = world.issue(task="LEAKED", delegator="user:dan")
    world.authority.perform(
        leak_operations.AddLeaks(finds=search_pasted(leaked.token.encode()), report=LeakReport("wiki", None))
    )
    world.revoke(leaked.id)
    world.register("bot", owner="user:bob")
    world.register("idle", owner="user:bob", suspended_at=world.clock.now, suspended_as="suspended")
    facts["secrets"] = [standing("legacy", "ghp_5rN8wq2KxVb7TmY4cJ9LdZ6sHf3")]
    world.authority.perform(Adopt(secrets=tuple(facts["secrets"])))
    keys = world.authority.perform(trust_operations.ListKeys())
    facts["kid"] = next(row.key.kid for row in keys if row.key.use == "x509")
    asked = world.authority.perform(RequestAuthority())
    facts["chain"] = certified(asked.request, world.clock.now)
    facts["policy"] = next(event["policy"] for event in world.events() if "policy" in event)
    ended = world.issue(task="ENDED", delegator="user:dan")
    facts["ended by"] = world.revoke(ended.id).event
    assert set(scene.approvals) == {"owner", "agent"}


def standing(name: str, text: str) -> StandingSecret:
    kept = of_secret(text, None)
    return StandingSecret(
        *(0, name, "user:dan", "vault kv/x", "releases", "ci", "moderate", None, None, None),
        *(kept.prefix, kept.length, kept.fingerprint, kept.public, None),
    )
