"""The state machine: it draws steps, and compares each answer and every right with the model's."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.machine.drivers import Backend
from tests.machine.laws import LAWS
from tests.machine.model import DEFAULT_KINDS, IDENTITY, LEDGER, SERVICE, MayAct, Request
from tests.machine.world import GATEWAY, OPERATOR, STORE, World

ROOTS = ("user:alice", "user:root")
AGENTS = ("planner", "coder", "tester")
REGISTERED = "deploy-bot"
AUDIENCES = ("https://api.example.com", "https://db.example.com")
SCOPES = ("repo:*", "repo:read", "repo:write", "db:*", "db:drop", "*:read")
CLOCK = (1, 10, 29, 30, 31, 120, 600, 880, 1800, 3600, -5, -40, -600)

REACHES: tuple[tuple[str, ...], ...] = (AUDIENCES, ("https://*.example.com",), AUDIENCES[:1], ())
CHAINS = (
    (MayAct(GATEWAY, frozenset(AUDIENCES)),),
    (MayAct(GATEWAY, frozenset(AUDIENCES[1:])), MayAct(STORE, frozenset(AUDIENCES[:1]))),
    (),
)

scope_sets = st.frozensets(st.sampled_from(SCOPES), max_size=3)
lifetimes = st.sampled_from((None, None, 20, 60, 300, 1200, 7200))
kinds = st.sampled_from(("jwt", "jwt", "opaque"))
indices = st.integers(0, 10_000)


class Machine(RuleBasedStateMachine):
    """Steps of roots, agents, services, strangers, a responder and an administrator, in any order."""

    backend: ClassVar[Backend]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.backend.new())
        self.model = self.world.model

    def teardown(self) -> None:
        """Stop the authority."""
        self.world.driver.close()

    # Values for the drawn steps

    @property
    def wire(self) -> bool:
        return self.world.driver.wire

    def admin(self) -> str:
        return "user:olga" if self.wire else LEDGER

    def responder(self) -> str:
        return "user:rita" if self.wire else LEDGER

    def caller_for(self, root: str) -> str:
        """Return the caller who issues for a root delegator: at an authority, the delegator itself."""
        return root if self.wire else LEDGER

    def all_keys(self, *, use: str | None = None) -> list[str]:
        """Return all known credentials that were ever issued, the latest first."""
        found = [c for c in self.model.credentials.values() if use in (None, c.use)]
        return [c.key for c in reversed(found) if c.key in self.world.accepted]

    def living(self, use: str | None = None) -> list[str]:
        """Return the credentials that are valid now, the latest first."""
        return [
            key
            for key in self.all_keys(use=use)
            if self.model.effective(self.model.credentials[key]) is not None
        ]

    def pick(self, index: int, use: str | None = None) -> str | None:
        """Return a valid credential, or for every eighth index any credential."""
        living, everything = self.living(use), self.all_keys(use=use)
        chosen = everything if index % 8 == 7 or not living else living
        return chosen[(index // 8) % len(chosen)] if chosen else None

    def holder(self, key: str, index: int) -> str:
        """Return the caller who uses a credential: its root delegator, or the agent with the token itself."""
        if not self.wire:
            return LEDGER
        credential = self.model.credentials[key]
        agents = [key] if credential.use is IDENTITY and key in self.living(IDENTITY) else []
        people = [credential.identity.root] if self.model.person(credential.identity.root).access else []
        choices = [*agents, *people] or [OPERATOR]
        return choices[index % len(choices)]

    def has_credentials(self) -> bool:
        return bool(self.all_keys())

    def task_of(self, root: str, index: int) -> str:
        """Return the name of a task: all openers use the same names where names are unique for each opener."""
        return self.named(root, f"T{index % 3}")

    def named(self, root: str, name: str) -> str:
        """Return a task's name: at an authority, where names are unique for each opener, all openers use the same."""
        return name if self.wire else f"{root.split(':')[1]}-{name}"

    # Issue, delegate, attach, exchange, renew, repeat, hand back

    @initialize(scopes=scope_sets, ttl=lifetimes)
    def begin(self, scopes: frozenset[str], ttl: int | None) -> None:
        """Issue a first credential to alice."""
        self._issue_root("user:alice", 0, "planner", scopes | {"repo:*"}, ttl, "jwt", None, None, None)

    @rule(
        root=st.sampled_from(ROOTS),
        index=indices,
        agent=st.sampled_from(AGENTS),
        scopes=scope_sets,
        ttl=lifetimes,
        kind=kinds,
        audience=st.sampled_from((None, None, *AUDIENCES)),
        level=st.sampled_from((None, None, "low", "high", "critical")),
        deadline=st.sampled_from((None, None, 1000)),
    )
    def issue_root(
        self,
        root: str,
        index: int,
        agent: str,
        scopes: frozenset[str],
        ttl: int | None,
        kind: str,
        audience: str | None,
        level: str | None,
        deadline: int | None,
    ) -> None:
        """Let a root delegator issue a credential."""
        self._issue_root(root, index, agent, scopes, ttl, kind, audience, level, deadline)

    def _issue_root(
        self,
        root: str,
        index: int,
        agent: str,
        scopes: frozenset[str],
        ttl: int | None,
        kind: str,
        audience: str | None,
        level: str | None,
        deadline: int | None,
    ) -> None:
        name = self.task_of(root, index)
        found = self.model.find_task(root, name)
        request = Request(
            agent=agent,
            scopes=scopes,
            task=name,
            delegator=root,
            audiences=frozenset({audience} if audience else ()),
            may_audience=frozenset(REACHES[index % len(REACHES)]) or None if not audience else None,
            kind=kind,
            may_kind=frozenset({kind}) if index % 3 == 0 else None,
            may_act=CHAINS[index % len(CHAINS)] if audience else (),
            ttl=ttl,
            sensitivity=None if found else level,
            purpose=not found and level is not None and index % 4 != 0,
            deadline=None if found else deadline,
            allow_narrower=index % 5 == 0,
        )
        self.world.perform("issue", caller=self.caller_for(root), request=request)

    @precondition(has_credentials)
    @rule(
        index=indices,
        agent=st.sampled_from(AGENTS),
        scopes=scope_sets,
        subset=st.booleans(),
        ttl=lifetimes,
        kind=kinds,
        own_task=st.sampled_from((None, None, None, None, "/S0", "/S1", "T0", "S0")),
        level=st.sampled_from((None, None, "low", "moderate", "high")),
        audience=st.sampled_from((None, *AUDIENCES)),
        who=indices,
    )
    def delegate(
        self,
        index: int,
        agent: str,
        scopes: frozenset[str],
        subset: bool,
        ttl: int | None,
        kind: str,
        own_task: str | None,
        level: str | None,
        audience: str | None,
        who: int,
    ) -> None:
        """Let the holder of a credential delegate from it."""
        key = self.pick(index)
        if key is None:
            return
        parent = self.model.credentials[key]
        grant = self.model.effective(parent)
        if subset and grant:
            scopes = frozenset(sorted(grant.scopes)[: 1 + who % 3])
        audiences: frozenset[str] = frozenset()
        if parent.use is SERVICE:
            audiences = parent.audiences
        elif audience:
            audiences = frozenset({audience})
        task = own_task
        if own_task:
            # Either below the parent's task, which is permitted, or another task, which is not.
            is_below = own_task.startswith("/")
            task = (
                parent.identity.task.name + own_task
                if is_below
                else self.named(parent.identity.root, own_task)
            )
        opens = task is not None and self.model.find_task(parent.identity.root, task) is None
        request = Request(
            agent=agent,
            scopes=scopes,
            parent=key,
            task=task,
            audiences=audiences,
            may_audience=frozenset(REACHES[who % len(REACHES)]) or None if not audiences else None,
            may_act=CHAINS[who % len(CHAINS)] if audiences else (),
            kind=kind,
            ttl=ttl,
            sensitivity=level if opens else None,
            purpose=opens and level is not None,
            allow_narrower=who % 4 == 0,
        )
        self.world.perform("issue", caller=self.holder(key, who), request=request)

    @precondition(has_credentials)
    @rule(index=indices, ttl=lifetimes, allow_narrower=st.booleans(), who=indices)
    def renew(self, index: int, ttl: int | None, allow_narrower: bool, who: int) -> None:
        """Let the holder of a credential renew it."""
        key = self.pick(index)
        if key is None:
            return
        self.world.perform(
            "renew", caller=self.holder(key, who), of=key, ttl=ttl, allow_narrower=allow_narrower
        )

    @precondition(has_credentials)
    @rule(
        index=indices,
        kind=kinds,
        narrow=st.sampled_from((None, "repo:read", "repo:*", "db:drop")),
        audience=st.sampled_from(AUDIENCES),
        ttl=lifetimes,
    )
    def attach(self, index: int, kind: str, narrow: str | None, audience: str, ttl: int | None) -> None:
        """Let the holder of a credential attach a further credential to the same identity."""
        key = self.pick(index, IDENTITY)
        if key is None:
            return
        self.world.perform(
            "attach",
            caller=self.holder(key, 0) if self.wire else OPERATOR,
            to=key,
            kind=kind,
            scopes=frozenset({narrow}) if narrow else None,
            audiences=frozenset({audience}),
            ttl=ttl,
            may_act=CHAINS[index % len(CHAINS)],
        )

    @precondition(lambda self: len(self.all_keys(use=IDENTITY)) > 1)
    @rule(
        index=indices, actor=indices, audience=st.sampled_from(AUDIENCES), scope=st.sampled_from(SCOPES[1:])
    )
    def exchange(self, index: int, actor: int, audience: str, scope: str) -> None:
        """Let an agent exchange an identity token that it holds for a service token."""
        subject, by = self.pick(index, IDENTITY), self.pick(actor, IDENTITY)
        if subject is None or by is None:
            return
        caller = self.holder(by, 0) if self.wire else OPERATOR
        self.world.perform(
            "exchange", caller=caller, subject=subject, actor=by, audience=audience, scope=scope
        )

    @precondition(has_credentials)
    @rule(index=indices, who=indices)
    def repeat_a_renewal(self, index: int, who: int) -> None:
        """Lose an answer, and let the same caller repeat the renewal with the same idempotency key."""
        key = self.pick(index, IDENTITY)
        if key is None:
            return
        first = f"c{len(self.world.steps) + 1}-lost"
        caller = self.holder(key, who) if self.wire else OPERATOR
        self.world.perform("repeated_renewal", caller=caller, of=key, first=first)

    @precondition(has_credentials)
    @rule(index=indices, agent=st.sampled_from(AGENTS), who=indices)
    def repeat_an_issue(self, index: int, agent: str, who: int) -> None:
        """Lose an answer, and let the same caller repeat the delegation with the same idempotency key."""
        key = self.pick(index, IDENTITY)
        if key is None:
            return
        first = f"c{len(self.world.steps) + 1}-lost"
        caller = self.holder(key, who) if self.wire else OPERATOR
        request = Request(agent=agent, scopes=frozenset({"repo:read"}), parent=key)
        self.world.perform("repeated_issue", caller=caller, request=request, first=first)

    @precondition(has_credentials)
    @rule(index=indices, who=indices)
    def abandon(self, index: int, who: int) -> None:
        """Take back a successor by its own token, perhaps as a stranger or with a token that has no predecessor."""
        made = self.all_keys()
        successors = [key for key in made if self.model.is_successor(key)]
        chosen = made if index % 8 == 7 or not successors else successors
        of = chosen[(index // 8) % len(chosen)]
        caller = ("user:mallory", self.holder(of, who))[who % 3 > 0] if self.wire else OPERATOR
        self.world.perform("abandon", caller=caller, of=of)

    @precondition(has_credentials)
    @rule(index=indices, other=indices)
    def hand_back(self, index: int, other: int) -> None:
        """Let the holder of a credential hand back an identity, perhaps without permission."""
        key, of = self.pick(index, IDENTITY), self.pick(other)
        if key is None or of is None:
            return
        caller = self.holder(key, 0) if self.wire else OPERATOR
        self.world.perform("hand_back", caller=caller, token=key, of=of)

    @precondition(lambda self: self.wire)
    @rule(
        scopes=st.sampled_from((frozenset({"pay:out"}), frozenset({"pay:out", "repo:read"}))),
        approver=st.sampled_from(("user:sam", "user:sam", "user:alice", "user:mallory")),
        index=indices,
    )
    def approve(self, scopes: frozenset[str], approver: str, index: int) -> None:
        """Let alice request a scope that needs an approval, and an approver grant it, perhaps without permission."""
        request = Request("planner", scopes, task=self.task_of("user:alice", index), delegator="user:alice")
        self.world.perform("approval", caller="user:alice", approver=approver, request=request)

    # Revoke, retire, share, give

    @precondition(has_credentials)
    @rule(index=indices, by=st.sampled_from(("jti", "id", "token")))
    def revoke_one(self, index: int, by: str) -> None:
        """Let a responder revoke one identity."""
        key = self.pick(index)
        if key is not None:
            self.world.perform("revoke", caller=self.responder(), credential=key, by=by)

    @precondition(has_credentials)
    @rule(
        index=indices,
        sorts=st.frozensets(st.sampled_from(("task", "agent", "delegator", "tree")), min_size=1, max_size=2),
    )
    def revoke_many(self, index: int, sorts: frozenset[str]) -> None:
        """Let a responder revoke by selectors, which intersect."""
        key = self.pick(index)
        if key is None:
            return
        identity = self.model.credentials[key].identity
        chosen: dict[str, Any] = {}
        if "task" in sorts:
            chosen["task"] = (identity.task.owner, identity.task.name)
        if "agent" in sorts:
            chosen["agent"] = AGENTS[index % 3]
        if "delegator" in sorts:
            chosen["delegator"] = f"agent:{AGENTS[index % 3]}" if index % 2 else identity.root
        if "tree" in sorts:
            chosen["tree"] = key
        self.world.perform("revoke", caller=self.responder(), **chosen)

    @precondition(has_credentials)
    @rule(index=indices, by_responder=st.booleans())
    def retire(self, index: int, by_responder: bool) -> None:
        """Retire a task."""
        key = self.pick(index)
        if key is None or not self.model.tasks:
            return
        task = self.model.credentials[key].identity.task
        caller = self.responder()
        if self.wire and not by_responder:
            caller = task.owner
        self.world.perform("retire", caller=caller, task=(task.owner, task.name))

    @precondition(lambda self: self.wire and self.model.tasks)
    @rule(index=indices)
    def share(self, index: int) -> None:
        """Let the opener of a task share it with the other root."""
        owner, name = list(self.model.tasks)[index % len(self.model.tasks)]
        other = next(root for root in ROOTS if root != owner)
        self.world.perform("share", caller=owner, task=(owner, name), with_whom=other)

    @precondition(lambda self: self.wire and self.model.tasks)
    @rule(index=indices, scopes=scope_sets)
    def join(self, index: int, scopes: frozenset[str]) -> None:
        """Let the other root issue on a task by its whole name, whether shared or not."""
        owner, name = list(self.model.tasks)[index % len(self.model.tasks)]
        other = next(root for root in ROOTS if root != owner)
        request = Request("planner", scopes, task=f"{owner}/{name}", delegator=other)
        self.world.perform("issue", caller=other, request=request)

    @precondition(lambda self: self.wire and self.model.tasks)
    @rule(index=indices)
    def give(self, index: int) -> None:
        """Let the owner of a task give it to the other root."""
        owner, name = list(self.model.tasks)[index % len(self.model.tasks)]
        other = next(root for root in ROOTS if root != owner)
        self.world.perform("give", caller=owner, task=(owner, name), to=other)

    @precondition(lambda self: self.wire and self.all_keys())
    @rule(index=indices, root=st.sampled_from(ROOTS))
    def revoke_ones_own(self, index: int, root: str) -> None:
        """Let a root without a role revoke a credential, perhaps one of another root."""
        key = self.pick(index)
        if key is not None:
            self.world.perform("revoke", caller=root, credential=key, by="id")

    @precondition(lambda self: self.wire and self.model.records)
    @rule(index=indices)
    def use_the_name_of_another(self, index: int) -> None:
        """Let the other root issue under the name of alice's registered agent."""
        self._issue_root("user:root", index, REGISTERED, frozenset({"repo:*"}), None, "jwt", None, None, None)

    @precondition(lambda self: self.wire and self.all_keys(use=SERVICE))
    @rule(
        index=indices, audience=st.sampled_from(AUDIENCES), service=st.sampled_from((GATEWAY, GATEWAY, STORE))
    )
    def exchange_as_service(self, index: int, audience: str, service: str) -> None:
        """Let a service exchange a token that was presented to it."""
        key = self.pick(index, SERVICE)
        if key is not None:
            self.world.perform(
                "exchange", caller=service, subject=key, actor=None, audience=audience, scope="repo:read"
            )

    # The directory, agents, keys

    @rule(
        root=st.sampled_from(ROOTS),
        entitlements=st.sampled_from(
            (None, frozenset({"repo:*"}), frozenset({"repo:read", "db:*"}), frozenset({"*:*"}))
        ),
    )
    def entitle(self, root: str, entitlements: frozenset[str] | None) -> None:
        """Let an administrator change the entitlements of a delegator."""
        self.world.perform("entitle", caller=self.admin(), name=root, entitlements=entitlements)

    @rule(root=st.sampled_from(ROOTS))
    def disable(self, root: str) -> None:
        """Let an administrator disable a delegator."""
        if not self.model.person(root).disabled:
            self.world.perform("disable", caller=self.admin(), name=root)

    @rule(root=st.sampled_from(ROOTS))
    def enable(self, root: str) -> None:
        """Let an administrator enable a delegator again."""
        if self.model.person(root).disabled:
            self.world.perform("enable", caller=self.admin(), name=root)

    @rule(
        scopes=st.sampled_from((frozenset({"repo:*"}), frozenset({"repo:*", "db:*"}))),
        audiences=st.sampled_from(((), AUDIENCES)),
        may_use=st.sampled_from((frozenset(), frozenset({"user:root"}))),
        owner=st.sampled_from(("user:alice", "user:alice", "user:root")),
        kinds=st.sampled_from((DEFAULT_KINDS, frozenset({"jwt"}))),
    )
    def register(
        self,
        scopes: frozenset[str],
        audiences: tuple[str, ...],
        may_use: frozenset[str],
        owner: str,
        kinds: frozenset[str],
    ) -> None:
        """Let an administrator register an agent, perhaps again for another owner."""
        record = self.model.records.get(REGISTERED)
        if record is None or record.unregistered:
            self.world.perform(
                "register",
                caller=self.admin(),
                name=REGISTERED,
                owner=owner if record else "user:alice",
                kinds=kinds,
                scopes=scopes,
                audiences=frozenset(audiences),
                may_use=may_use,
            )

    @rule(scopes=scope_sets, ttl=lifetimes, index=indices)
    def issue_registered(self, scopes: frozenset[str], ttl: int | None, index: int) -> None:
        """Let alice issue under the name of the agent that is or may become registered."""
        self._issue_root("user:alice", index, REGISTERED, scopes, ttl, "jwt", None, None, None)

    @precondition(lambda self: self.model.records)
    @rule()
    def suspend(self) -> None:
        """Let an administrator suspend the agent."""
        self.world.perform("suspend", caller=self.admin(), name=REGISTERED)

    @precondition(lambda self: self.model.records)
    @rule(keep_live=st.sampled_from((True, True, False)))
    def unregister(self, keep_live: bool) -> None:
        """Let an administrator unregister the agent; mostly, its credentials stay live."""
        self.world.perform("unregister", caller=self.admin(), name=REGISTERED, keep_live=keep_live)

    @precondition(lambda self: self.model.records)
    @rule()
    def resume(self) -> None:
        """Let an administrator resume the agent."""
        self.world.perform("resume", caller=self.admin(), name=REGISTERED)

    @rule()
    def rotate(self) -> None:
        """Let an administrator rotate the signing key."""
        self.world.perform("rotate", caller=self.admin())

    # Time, crashes, backups

    @rule(seconds=st.sampled_from(CLOCK))
    def step_clock(self, seconds: int) -> None:
        """Move the clock, forward or back; with a database, not further back than the latest issue."""
        if seconds < 0 and not self.model.has_mark:
            latest = max(c.issued for c in self.model.credentials.values()) if self.has_credentials() else 0
            seconds = max(seconds, min(0, latest - self.model.clock))
        self.world.perform("clock", seconds=seconds)

    @rule(draw=st.integers(0, 3))
    def kill(self, draw: int) -> None:
        """Kill all processes, and start them again."""
        if draw == 0:
            self.world.perform("kill")

    @precondition(lambda self: self.world.driver.backend != "postgres" and len(self.world.saved) < 2)
    @rule()
    def backup(self) -> None:
        """Back the ledger up."""
        self.world.perform("backup")

    @precondition(lambda self: self.world.saved)
    @rule(draw=st.integers(0, 3))
    def restore(self, draw: int) -> None:
        """Replace the ledger with a backup."""
        if draw == 0:
            self.world.perform("restore", name=list(self.world.saved)[-1])

    # Strangers

    @precondition(lambda self: self.wire)
    @rule(index=indices)
    def stranger_lives_alone(self, index: int) -> None:
        """Let a stranger issue for itself, on its own task."""
        name = self.task_of("user:mallory", index)
        request = Request("planner", frozenset({"repo:*"}), task=name, delegator="user:mallory")
        self.world.perform("issue", caller="user:mallory", request=request)

    @precondition(lambda self: self.wire)
    @rule(index=indices)
    def stranger_issues_for_another(self, index: int) -> None:
        """Let a stranger issue in the name of a root."""
        root = ROOTS[index % 2]
        request = Request("planner", frozenset({"repo:*"}), task=self.task_of(root, index), delegator=root)
        self.world.perform("issue", caller="user:mallory", request=request)

    @precondition(lambda self: self.wire and self.all_keys())
    @rule(index=indices, what=st.sampled_from(("revoke", "retire")))
    def stranger_ends(self, index: int, what: str) -> None:
        """Let a stranger revoke an identity or retire a task of another delegator."""
        keys = [k for k in self.all_keys() if self.model.credentials[k].identity.root != "user:mallory"]
        if not keys:
            return
        key = keys[index % len(keys)]
        if what == "revoke":
            self.world.perform("revoke", caller="user:mallory", credential=key, by="id")
        else:
            task = self.model.credentials[key].identity.task
            self.world.perform("retire", caller="user:mallory", task=(task.owner, task.name))

    @precondition(lambda self: self.all_keys(use=SERVICE))
    @rule(index=indices, what=st.sampled_from(("renew", "attach", "delegate", "hand_back", "exchange")))
    def shown(self, index: int, what: str) -> None:
        """Let a service use a token that was presented to it for its own gain."""
        key = self.pick(index, SERVICE)
        assert key is not None
        caller = "system:svc"
        match what:
            case "renew":
                self.world.perform("renew", caller=caller, of=key, ttl=None, allow_narrower=False)
            case "attach":
                self.world.perform(
                    "attach", caller=caller, to=key, kind="jwt", scopes=None, audiences=frozenset(), ttl=None
                )
            case "delegate":
                audiences = self.model.credentials[key].audiences
                request = Request("svc", frozenset({"repo:read"}), parent=key, audiences=audiences)
                self.world.perform("issue", caller=caller, request=request)
            case "hand_back":
                self.world.perform("hand_back", caller=caller, token=key, of=key)
            case _:
                audience = min(self.model.credentials[key].audiences)
                self.world.perform(
                    "exchange", caller=caller, subject=key, actor=None, audience=audience, scope=None
                )

    @precondition(lambda self: self.wire and self.living(IDENTITY))
    @rule(index=indices, root=st.sampled_from(ROOTS))
    def agent_becomes_root(self, index: int, root: str) -> None:
        """Let an agent request a root credential with its own token."""
        keys = self.living(IDENTITY)
        request = Request("planner", frozenset({"repo:*"}), task=self.task_of(root, index), delegator=root)
        self.world.perform("issue", caller=keys[index % len(keys)], request=request)

    # Laws

    @invariant()
    def laws(self) -> None:
        """Check the answers of all entry points against the laws, independently of the model."""
        for law in LAWS:
            law(self.world)
