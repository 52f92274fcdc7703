"""One run: the model and jitid do each step, and their outcomes and the answers of all entry points are compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from tests.machine.drivers import AUDIENCES_OF, PEOPLE, START, Done, Driver
from tests.machine.model import (
    APPROVERS,
    DEFAULT_KINDS,
    IDENTITY,
    INVALID,
    LEDGER,
    SERVICE,
    Accepted,
    Credential,
    MayAct,
    Model,
    Outcome,
    Refused,
    Request,
    covered,
)

ACTIONS = ("repo:read", "repo:write", "db:read", "db:drop", "pay:out")
"""The actions for which `authorize` is called."""
STRANGERS = frozenset({"user:mallory", "system:svc"})
"""Callers without permission or role."""
OPERATOR, VERIFIER = "system:operator", "system:verifier"
GATEWAY, STORE, EDGE = "system:gateway", "system:store", "system:edge"
DOOR_BUDGET = 8
"""The number of tokens checked at every entry point after each step: the newest and, in turn, the others."""


class Step(NamedTuple):
    """A step of a run, as data, so that another run can repeat it."""

    verb: str
    number: int
    arguments: dict[str, Any]

    @property
    def key(self) -> str:
        """The key of the credential that it makes."""
        return f"c{self.number}"

    @property
    def by_stranger(self) -> bool:
        """Whether a caller without permission or role takes it."""
        return self.arguments.get("caller") in STRANGERS or self.arguments.get("owner") in STRANGERS


class DifferenceError(AssertionError):
    """A difference between jitid's behaviour and the promises."""


class Seen(NamedTuple):
    """The answers of the entry points about one token."""

    valid: bool
    actions: frozenset[str]
    doors: dict[str, bool]


class World:
    """A ledger with its authority, and the model to compare with."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.model = Model(START, has_mark=driver.has_mark)
        self.steps: list[Step] = []
        self.answers: dict[int, str] = {}
        """The answer to each step, without ids and times."""
        self.seen: dict[str, Seen] = {}
        """The latest answers of the entry points about each token."""
        self.accepted: dict[str, dict[str, Any]] = {}
        """Jitid's report about each credential at issue."""
        self.predecessor: dict[str, str] = {}
        self.made_from: dict[str, str] = {}
        self.saved: dict[str, tuple[Model, dict[str, Any]]] = {}
        self._turn = 0
        for name, roles in PEOPLE.items():
            person = self.model.person(name)
            person.roles, person.access = frozenset(roles), True
            person.proof = "credential" if driver.wire else "asserted"
        if not driver.wire:
            self.model.person("user:root").proof = "os-user"
        for name, audiences in AUDIENCES_OF.items():
            self.model.person(name).audiences = frozenset(audiences)
        for name in ("user:alice", "user:root", "user:sam"):
            self.model.person(name).known = True
        self.model.person("user:sam").groups = frozenset({APPROVERS})

    # Steps

    def perform(self, verb: str, **arguments: Any) -> Outcome:
        """Do a step in the model and by jitid, and compare its outcome and all rights after it."""
        return self.do(Step(verb, len(self.steps) + 1, arguments))

    def do(self, step: Step) -> Outcome:
        """Do a step, perhaps one from another run."""
        self.steps.append(step)
        self.driver.script.append(f"# step {step.number}: {step.verb}")
        try:
            outcome: Outcome = getattr(self, f"_{step.verb}")(step, **step.arguments)
            self.look_through_doors(step)
        except (KeyError, ValueError, RuntimeError) as error:
            raise self.difference(step, f"an answer is not as expected: {error!r}") from error
        return outcome

    def _issue(self, step: Step, caller: str, request: Request) -> Outcome:
        expected = self.model.issue(caller, step.key, request)
        done = self.driver.jitid(caller, *self._line(request), "--format", "json")
        return self._settle(step, expected, done, made_from=request.parent)

    def _line(self, request: Request) -> list[str]:
        words = ["issue", "--agent", request.agent, "--kind", request.kind]
        if request.task is not None:
            words += ["--task", request.task]
        if request.parent is not None:
            words += ["--parent-file", f"{request.parent}.token"]
        elif request.delegator is not None:
            words += ["--delegator", request.delegator]
        for option, values in (
            ("--scope", request.scopes),
            ("--audience", request.audiences),
            ("--may-audience", request.may_audience or ()),
            ("--may-kind", request.may_kind or ()),
        ):
            words += [word for value in sorted(values) for word in (option, value)]
        for may in request.may_act:
            words += ["--may-act", f"{may.service}={','.join(sorted(may.audiences))}"]
        if request.ttl is not None:
            words += ["--ttl", f"{request.ttl}s"]
        if request.sensitivity is not None:
            words += ["--sensitivity", request.sensitivity]
        if request.purpose:
            words += ["--purpose", "a reason"]
        if request.deadline is not None:
            words += ["--deadline", f"{request.deadline}s"]
        if request.allow_narrower:
            words.append("--allow-narrower")
        return words

    def _approval(self, step: Step, caller: str, approver: str, request: Request) -> Outcome:
        """Request a scope that needs an approval, have the request approved, and issue."""
        first = self.model.issue(caller, step.key, request)
        line = self._line(request)
        attempt = self.driver.jitid(caller, *line, "--format", "json")
        if isinstance(first, Accepted) or "an approval is lacking" not in first.reasons:
            return self._settle(step, first, attempt)
        self._compare(step, first, attempt.status, attempt)
        waiting = re.search("apr_[0-9a-v]+", attempt.out + attempt.err)
        if waiting is None:
            raise self.difference(step, f"nobody is asked for an approval: {attempt}")
        expected = self.model.approve(approver, caller, request)
        uid = waiting.group()
        granted = self.driver.jitid(approver, "approve", "grant", uid)
        self._compare(step, expected, granted.status, granted)
        second = self.model.issue(caller, step.key, request)
        done = self.driver.jitid(caller, *line, "--format", "json")
        return self._settle(step, second, done)

    def _renew(self, step: Step, caller: str, of: str, ttl: int | None, allow_narrower: bool) -> Outcome:
        expected = self.model.renew(caller, step.key, of, ttl=ttl, allow_narrower=allow_narrower)
        words = ["renew", "--format", "json"]
        if ttl is not None:
            words += ["--ttl", f"{ttl}s"]
        if allow_narrower:
            words.append("--allow-narrower")
        done = self.driver.jitid(caller, *words, stdin=f"{of}.token")
        return self._settle(step, expected, done, predecessor=of)

    def _repeated_issue(self, step: Step, caller: str, request: Request, first: str) -> Outcome:
        """Issue over HTTP with an idempotency key, and repeat it with the same key, as after a lost answer."""
        expected = self.model.issue(caller, first, request)
        if isinstance(expected, Accepted):
            expected = self.model.repeat(step.key, first)
        body = {"requests": [_on_the_wire(request)]}
        done = self.driver.ask(caller, "Issue", body, key=f"key-{step.number}")
        if done.status == 0:
            self.driver.write(f"{first}.token", done.json[0]["credentials"][0]["secret"])
            self._remember(first, done.json[0], request.parent, None)
            done = self.driver.ask(caller, "Issue", body, key=f"key-{step.number}")
            done = Done(done.status, json.dumps(done.json[0]) if done.status == 0 else done.out)
        return self._settle(step, expected, done, made_from=request.parent)

    def _repeated_renewal(self, step: Step, caller: str, of: str, first: str) -> Outcome:
        """Renew over HTTP with an idempotency key, and repeat it with the same key."""
        expected = self.model.renew(caller, first, of)
        if isinstance(expected, Accepted):
            expected = self.model.repeat(step.key, first)
        body = {"request": {"token": f"@{of}.token"}}
        done = self.driver.ask(caller, "Renew", body, key=f"key-{step.number}")
        if done.status == 0:
            self.driver.write(f"{first}.token", done.json["credentials"][0]["secret"])
            self._remember(first, done.json, None, of)
            done = self.driver.ask(caller, "Renew", body, key=f"key-{step.number}")
        return self._settle(step, expected, done, predecessor=of)

    def _attach(
        self,
        step: Step,
        caller: str,
        to: str,
        kind: str,
        scopes: frozenset[str] | None,
        audiences: frozenset[str],
        ttl: int | None,
        may_act: tuple[MayAct, ...] = (),
    ) -> Outcome:
        expected = self.model.attach(
            caller,
            step.key,
            to,
            kind=kind,
            scopes=scopes,
            audiences=audiences,
            ttl=ttl,
            may_act=may_act,
        )
        request: dict[str, object] = {"token": f"@{to}.token", "kind": kind}
        if scopes is not None:
            request["scopes"] = sorted(scopes)
        if audiences:
            request["audiences"] = sorted(audiences)
        if ttl is not None:
            request["ttl"] = ttl
        if may_act:
            request["may_act"] = [
                {"caller": may.service, "audiences": sorted(may.audiences)} for may in may_act
            ]
        done = self.driver.ask(caller, "Attach", {"request": request})
        return self._settle(step, expected, done, made_from=to)

    def _exchange(
        self, step: Step, caller: str, subject: str, actor: str | None, audience: str, scope: str | None
    ) -> Outcome:
        """Exchange a token at `/token`; without an actor the client acts itself."""
        if actor is None:
            scopes = frozenset({scope}) if scope else frozenset()
            expected = self.model.exchange_shown(caller, step.key, subject, audience, scopes)
        else:
            expected = self.model.exchange(
                caller,
                step.key,
                subject,
                actor,
                frozenset({audience}),
                frozenset({scope}) if scope else frozenset(),
            )
        fields = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": self.driver.read(f"{subject}.token"),
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": audience,
        }
        if scope:
            fields["scope"] = scope
        if actor:
            fields["actor_token"] = self.driver.read(f"{actor}.token")
            fields["actor_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        status, answer = self.driver.form(caller, "/token", fields)
        self.driver.script.append(
            f"# POST /token by {caller}: {subject}, {actor}, {audience}, {scope}: {status} {answer[:200]}"
        )
        done = Done(0 if status == 200 else 4, answer)
        if isinstance(expected, Refused):
            # OAuth has different status codes: any refusal counts as refused.
            expected = Refused(frozenset({4}), expected.reasons)
        if status != 200 or isinstance(expected, Refused):
            return self._compare(step, expected, done.status, done)
        inspected = self._details(json.loads(answer)["access_token"])
        return self._settle(step, expected, Done(0, json.dumps(inspected)), made_from=subject)

    def _details(self, token: str) -> dict[str, Any]:
        self.driver.write("exchanged.token", token)
        done = self.driver.ask(VERIFIER, "Introspect", {"token": "@exchanged.token"})
        credential: dict[str, Any] = done.json["credential"]
        return {
            **credential,
            "credentials": [{"secret": token, "id": credential["id"], "jti": credential["jti"]}],
        }

    def _abandon(self, step: Step, caller: str, of: str) -> Outcome:
        expected = self.model.abandon(caller, of)
        done = self.driver.ask(caller, "AbandonRenewal", {"token": f"@{of}.token"})
        return self._compare(step, expected, done.status, done)

    def _hand_back(self, step: Step, caller: str, token: str, of: str) -> Outcome:
        expected = self.model.hand_back(caller, token, of)
        body = {"token": f"@{token}.token", "id": self.accepted[of]["id"]}
        done = self.driver.ask(caller, "HandBack", body)
        return self._compare(step, expected, done.status, done)

    def _revoke(
        self,
        step: Step,
        caller: str,
        credential: str | None = None,
        by: str = "jti",
        task: tuple[str, str] | None = None,
        agent: str | None = None,
        delegator: str | None = None,
        tree: str | None = None,
    ) -> Outcome:
        expected = self.model.revoke(
            caller, credential=credential, task=task, agent=agent, delegator=delegator, tree=tree
        )
        words = ["revoke"]
        if credential is not None:
            words += (
                ["--token-file", f"{credential}.token"] if by == "token" else [self.accepted[credential][by]]
            )
        if task is not None:
            words += ["--task", self._task_name(task, caller)]
        if agent is not None:
            words += ["--agent", agent]
        if delegator is not None:
            words += ["--delegator", delegator]
        if tree is not None:
            words += ["--tree", self.accepted[tree]["id"]]
        done = self.driver.jitid(caller, *words)
        return self._compare(step, expected, done.status, done)

    def _task_name(self, task: tuple[str, str], caller: str) -> str:
        owner, name = task
        return f"{owner}/{name}" if caller not in (owner, LEDGER) else name

    def _retire(self, step: Step, caller: str, task: tuple[str, str]) -> Outcome:
        expected = self.model.retire(caller, *task)
        done = self.driver.jitid(caller, "retire", self._task_name(task, caller))
        return self._compare(step, expected, done.status, done)

    def _share(self, step: Step, caller: str, task: tuple[str, str], with_whom: str) -> Outcome:
        expected = self.model.share(caller, *task, with_whom)
        done = self.driver.jitid(caller, "task", "share", task[1], "--with", with_whom)
        return self._compare(step, expected, done.status, done)

    def _give(self, step: Step, caller: str, task: tuple[str, str], to: str) -> Outcome:
        expected = self.model.give(caller, *task, to)
        done = self.driver.jitid(caller, "task", "give", task[1], "--to", to)
        return self._compare(step, expected, done.status, done)

    def _entitle(self, step: Step, caller: str, name: str, entitlements: frozenset[str] | None) -> Outcome:
        expected = self.model.entitle(caller, name, entitlements)
        words = ["delegator", "change", name]
        if entitlements is None:
            words.append("--policy-alone")
        else:
            words.append("--no-entitlements")
            words += [word for scope in sorted(entitlements) for word in ("--entitlement", scope)]
        done = self.driver.jitid(caller, *words)
        return self._compare(step, expected, done.status, done)

    def _disable(self, step: Step, caller: str, name: str) -> Outcome:
        expected = self.model.disable(caller, name)
        done = self.driver.jitid(caller, "delegator", "disable", name, "--yes")
        return self._compare(step, expected, done.status, done)

    def _enable(self, step: Step, caller: str, name: str) -> Outcome:
        """Enable a delegator, and grant them access to the authority again."""
        expected = self.model.enable(caller, name)
        done = self.driver.jitid(caller, "delegator", "enable", name)
        outcome = self._compare(step, expected, done.status, done)
        if isinstance(expected, Accepted):
            self.model.grant_access(LEDGER, name, frozenset(PEOPLE[name]))
            self.driver.admit(name)
        return outcome

    def _register(
        self,
        step: Step,
        caller: str,
        name: str,
        owner: str,
        scopes: frozenset[str],
        audiences: frozenset[str] = frozenset(),
        may_use: frozenset[str] = frozenset(),
        kinds: frozenset[str] = DEFAULT_KINDS,
    ) -> Outcome:
        expected = self.model.register(caller, name, owner, scopes, audiences, may_use, kinds)
        words = ["agent", "register", name, "--owner", owner, "--purpose", "a reason"]
        words += [word for scope in sorted(scopes) for word in ("--scope", scope)]
        words += [word for audience in sorted(audiences) for word in ("--audience", audience)]
        words += [word for each in sorted(may_use) for word in ("--may-use", each)]
        words += [word for each in sorted(kinds) for word in ("--kind", each)]
        done = self.driver.jitid(caller, *words)
        return self._compare(step, expected, done.status, done)

    def _suspend(self, step: Step, caller: str, name: str) -> Outcome:
        expected = self.model.suspend(caller, name)
        done = self.driver.jitid(caller, "agent", "suspend", name, "--yes")
        return self._compare(step, expected, done.status, done)

    def _unregister(self, step: Step, caller: str, name: str, keep_live: bool) -> Outcome:
        expected = self.model.unregister(caller, name, keep_live=keep_live)
        words = ["--keep-live"] if keep_live else ["--yes"]
        done = self.driver.jitid(caller, "agent", "unregister", name, *words)
        return self._compare(step, expected, done.status, done)

    def _resume(self, step: Step, caller: str, name: str) -> Outcome:
        expected = self.model.resume(caller, name)
        done = self.driver.jitid(caller, "agent", "resume", name)
        return self._compare(step, expected, done.status, done)

    def _rotate(self, step: Step, caller: str) -> Outcome:
        expected = self.model.rotate(caller)
        done = self.driver.jitid(caller, "keys", "rotate")
        return self._compare(step, expected, done.status, done)

    def _clock(self, _step: Step, seconds: int) -> Outcome:
        if seconds < 0 and not self.model.has_mark:
            # When the database's time goes back, first close expired credentials, as each sweep does.
            self.driver.jitid(LEDGER, "sweep", "--fail-on", "critical", "-q")
            self.model.write()
        self.model.step_clock(seconds)
        self.driver.set_clock(self.model.clock)
        return Accepted()

    def _kill(self, _step: Step) -> Outcome:
        self.driver.kill()
        return Accepted()

    def _backup(self, step: Step) -> Outcome:
        name = f"backup-{step.number}"
        done = self.driver.backup(name)
        self.saved[name] = (self.model.backup(), dict(self.accepted))
        return self._compare(step, Accepted(), done.status, done)

    def _restore(self, step: Step, name: str) -> Outcome:
        """Restore a backup; a newer event, the key rotation, shows that the ledger has changed since."""
        self.driver.jitid(LEDGER, "keys", "rotate")
        old, _ = self.saved[name]
        admitted = [person for person in PEOPLE if not old.person(person).disabled]
        done = self.driver.restore(name, admitted)
        self.model.restore(old)
        for person in admitted:
            self.model.grant_access(LEDGER, person, frozenset(PEOPLE[person]))
        return self._compare(step, Accepted(), done.status, done)

    # Comparisons

    def _settle(
        self,
        step: Step,
        expected: Outcome,
        done: Done,
        *,
        made_from: str | None = None,
        predecessor: str | None = None,
    ) -> Outcome:
        """Compare the answer that made a credential, and keep its token."""
        self._compare(step, expected, done.status, done)
        if isinstance(expected, Refused) or done.status:
            return expected
        credential = expected.made
        assert credential is not None
        answer = done.json
        if "credentials" in answer:
            answer = {**answer, "token": answer["credentials"][0]["secret"], **_ids(answer["credentials"][0])}
        self.driver.write(f"{step.key}.token", answer["token"])
        self._remember(step.key, answer, made_from, predecessor)
        self._compare_made(step, credential, answer)
        return expected

    def _remember(
        self, key: str, answer: dict[str, Any], made_from: str | None, predecessor: str | None
    ) -> None:
        if "credentials" in answer:
            answer = {**answer, **_ids(answer["credentials"][0])}
        self.accepted[key] = answer
        if made_from:
            self.made_from[key] = made_from
        if predecessor:
            self.predecessor[key] = predecessor

    def _compare_made(self, step: Step, credential: Credential, answer: dict[str, Any]) -> None:
        issued, expires = seconds(answer["issued_at"]), seconds(answer["expires_at"])
        if issued != credential.issued:
            raise self.difference(step, f"issued at {issued}, and it is {credential.issued}")
        if not self.model.now < expires <= credential.expires:
            raise self.difference(
                step, f"expires at {expires}, and may at {credential.expires} at the latest"
            )
        credential.expires = expires
        # The answer may omit a scope that another scope covers.
        if not (
            covered(answer["scopes"], credential.scopes) and covered(credential.scopes, answer["scopes"])
        ):
            raise self.difference(step, f"holds {answer['scopes']}, not {sorted(credential.scopes)}")
        if credential.use is SERVICE and frozenset(answer["audiences"]) != credential.audiences:
            raise self.difference(step, f"is for {answer['audiences']}, not {sorted(credential.audiences)}")
        if credential.use is IDENTITY and any("://" in audience for audience in answer["audiences"]):
            raise self.difference(step, f"is for {answer['audiences']}, not for the authority")
        identity = credential.identity
        facts = {
            "depth": identity.depth,
            "delegator": identity.root,
            "kind": credential.kind,
            "delegator_proof": identity.proof,
            "sensitivity": identity.sensitivity,
        }
        for name, value in facts.items():
            if answer[name] != value:
                raise self.difference(step, f"{name} is {answer[name]}, not {value}")

    def _compare(self, step: Step, expected: Outcome, status: int, done: Done) -> Outcome:
        self.answers[step.number] = "done" if status == 0 else "refused"
        match expected:
            case Accepted() if status != 0:
                raise self.difference(step, f"refused, and should be done: {done}")
            case Refused(statuses, reasons) if status not in statuses:
                raise self.difference(step, f"{status}, not one of {sorted(statuses)} ({reasons}): {done}")
        return expected

    def difference(self, step: Step | None, what: str) -> DifferenceError:
        """Return a difference, with the commands that lead to it."""
        about = f"step {step.number}, {step.verb} {step.arguments}: " if step else ""
        return DifferenceError(f"{about}{what}\n\n" + "\n".join(self.driver.script))

    # Entry points

    def look_through_doors(self, step: Step) -> None:
        """Present tokens at every entry point, and compare each answer with the model's (promise 24)."""
        keys = self._chosen()
        if not keys:
            return
        doors: dict[str, dict[str, bool]] = {key: {} for key in keys}
        before = len(self.driver.script)
        expected = {key: self.model.rights(key, ACTIONS) for key in keys}
        allowed = self._authorize(keys)
        # A use is recorded, and each record raises the time mark.
        self.model.write()
        for index, key in enumerate(reversed(keys)):
            # Some entry points cost a process each: always check the latest token there, and the others in turn.
            often = index == 0 or (index + step.number) % 3 == 0
            self._verify(key, doors[key], by_wire=self.driver.wire or not often)
            self._introspect(key, doors[key])
            self._as_bearer(key, doors[key])
            if often:
                self._at_the_edge(step, key)
                self._inspect(key, doors[key])
                self._as_parent(step, key)
        # Answers from an earlier time are not valid now.
        self.seen.clear()
        for key in keys:
            rights = expected[key]
            self.seen[key] = Seen(doors[key]["verify"], allowed[key], doors[key])
            wrong = {name: seen for name, seen in doors[key].items() if seen != rights.valid}
            if wrong:
                raise self.difference(
                    step, f"{key} is {'' if rights.valid else 'not '}valid, and seen otherwise: {wrong}"
                )
            if allowed[key] != rights.actions:
                raise self.difference(
                    step, f"{key} may {sorted(rights.actions)}, and is allowed {sorted(allowed[key])}"
                )
        # These checks change only the time mark: only the last ones stay in the script.
        del self.driver.script[before:]

    def _chosen(self) -> list[str]:
        keys = list(self.accepted)
        newest, others = keys[-DOOR_BUDGET // 2 :], keys[: -DOOR_BUDGET // 2]
        budget = DOOR_BUDGET - len(newest)
        if len(others) > budget:
            self._turn += budget
            start = self._turn % len(others)
            others = (others + others)[start : start + budget]
        return newest + others

    def _audiences(self, key: str) -> list[str]:
        return [a for a in self.accepted[key]["audiences"] if "://" in a]

    def _authorize(self, keys: list[str]) -> dict[str, frozenset[str]]:
        allowed: dict[str, set[str]] = {key: set() for key in keys}
        groups: dict[tuple[str, ...], list[str]] = {}
        for key in keys:
            groups.setdefault(tuple(self._audiences(key)), []).append(key)
        for audiences, members in groups.items():
            questions = [(key, action) for key in members for action in ACTIONS]
            for (key, action), verdict in zip(questions, self._verdicts(audiences, questions), strict=True):
                if verdict:
                    allowed[key].add(action)
        return {key: frozenset(actions) for key, actions in allowed.items()}

    def _verdicts(self, audiences: Iterable[str], questions: list[tuple[str, str]]) -> list[bool]:
        uses = [{"token": f"@{key}.token", "action": action, "resource": "acme"} for key, action in questions]
        if self.driver.wire:
            body: dict[str, object] = {"asked": uses}
            if audiences:
                body["audiences"] = list(audiences)
            answer = self.driver.ask(VERIFIER, "Authorize", body)
            return [verdict["allowed"] for verdict in answer.json["verdicts"]]
        lines = [
            json.dumps({**line, "token": self.driver.read(f"{key}.token")})
            for line, (key, _) in zip(uses, questions, strict=True)
        ]
        self.driver.write("questions", "\n".join(lines))
        words = [word for audience in audiences for word in ("--audience", audience)]
        done = self.driver.jitid(LEDGER, "authorize", "--batch", *words, stdin="questions")
        return [json.loads(line)["decision"] == "allow" for line in done.out.splitlines()]

    def _verify(self, key: str, doors: dict[str, bool], *, by_wire: bool) -> None:
        audiences = self._audiences(key)
        if by_wire:
            body: dict[str, object] = {"token": f"@{key}.token"}
            if audiences:
                body["audiences"] = audiences
            doors["verify"] = self._answer(self.driver.ask(VERIFIER, "Verify", body))
            return
        words = [word for audience in audiences for word in ("--audience", audience)]
        doors["verify"] = self._answer(self.driver.jitid(LEDGER, "verify", *words, f"{key}.token"))

    def _answer(self, done: Done, refusal: int = INVALID) -> bool:
        if done.status not in (0, refusal):
            raise self.difference(None, f"a door answers {done}")
        return done.status == 0

    def _inspect(self, key: str, doors: dict[str, bool]) -> None:
        caller = VERIFIER if self.driver.wire else LEDGER
        done = self.driver.jitid(caller, "inspect", f"{key}.token", "--format", "json")
        if done.status == INVALID:
            # After a restore, a newer token is unknown.
            doors["inspect"] = False
            return
        doors["inspect"] = done.json["active"]

    def _introspect(self, key: str, doors: dict[str, bool]) -> None:
        status, answer = self.driver.form(
            VERIFIER, "/introspect", {"token": self.driver.read(f"{key}.token")}
        )
        if status != 200:
            raise self.difference(None, f"/introspect answers {status} {answer}")
        doors["introspect"] = json.loads(answer)["active"]

    def _at_the_edge(self, step: Step, key: str) -> None:
        """Act as a verifier of one audience: it gets answers only about tokens for that audience (promise 14)."""
        token = self.driver.read(f"{key}.token")
        _, answer = self.driver.form(EDGE, "/introspect", {"token": token})
        expected = self.model.answers(EDGE, key)
        if json.loads(answer).get("active") != expected:
            raise self.difference(step, f"{EDGE} is answered {answer} about {key}, not active {expected}")
        (audience,) = AUDIENCES_OF[EDGE]
        uses = [{"token": token, "action": action, "resource": "acme"} for action in ACTIONS]
        done = self.driver.ask(EDGE, "Authorize", {"asked": uses, "audiences": [audience]})
        allowed = {
            action
            for action, verdict in zip(ACTIONS, done.json["verdicts"], strict=True)
            if verdict["allowed"]
        }
        rights = self.model.rights(key, ACTIONS) if expected else None
        if allowed != (rights.actions if rights else set()):
            raise self.difference(step, f"{EDGE} lets {key} do {sorted(allowed)}, and it may {rights}")

    def _as_bearer(self, key: str, doors: dict[str, bool]) -> None:
        status, _ = self.driver.request(key, "GET", "/v1/whoami")
        if self._audiences(key):
            if status == 200:
                raise self.difference(None, f"the service token {key} is a bearer of the authority")
            return
        doors["bearer"] = status == 200

    def _as_parent(self, step: Step, key: str) -> None:
        """Delegate in a dry run: the child must have the rights that the model gives it."""
        audiences = frozenset(self._audiences(key))
        caller = LEDGER
        if self.driver.wire:
            credential = self.model.credentials.get(key)
            root = credential.identity.root if credential else ""
            caller = root if root and self.model.person(root).access else OPERATOR
        action = ACTIONS[(step.number + len(key)) % len(ACTIONS)]
        request = Request("probe", frozenset({action}), parent=key, audiences=audiences)
        expected = self.model.issue(caller, "probe", request, dry_run=True)
        if self.driver.wire:
            body = {"requests": [_on_the_wire(request)], "dry_run": True}
            done = self.driver.ask(caller, "Issue", body)
        else:
            done = self.driver.jitid(caller, *self._line(request), "--dry-run", "--format", "json")
        self._compare_dry(step, key, request, expected, done)

    def _compare_dry(self, step: Step, key: str, request: Request, expected: Outcome, done: Done) -> None:
        match expected:
            case Accepted() if done.status != 0:
                raise self.difference(step, f"{key} as parent of {request}: refused, and should pass: {done}")
            case Refused(statuses, reasons) if done.status not in statuses:
                raise self.difference(
                    step, f"{key} as parent of {request}: {reasons}, and not refused: {done}"
                )


def _ids(credential: dict[str, Any]) -> dict[str, Any]:
    return {"id": credential["id"], "jti": credential["jti"]}


def seconds(when: str | int) -> int:
    return when if isinstance(when, int) else int(datetime.fromisoformat(when).timestamp())


def _on_the_wire(request: Request) -> dict[str, object]:
    fields: dict[str, object] = {
        "task": request.task,
        "delegator": request.delegator,
        "agent": request.agent,
        "kind": request.kind,
        "scopes": sorted(request.scopes),
        "audiences": sorted(request.audiences),
        "allow_narrower": request.allow_narrower,
    }
    if request.parent is not None:
        fields["parent"] = f"@{request.parent}.token"
    if request.ttl is not None:
        fields["ttl"] = request.ttl
    if request.may_audience is not None:
        fields["may_audience"] = sorted(request.may_audience)
    return fields
