"""Whether a credential may be used for an action now: checks its scopes, the directory and the policy again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Annotated

from jitid.capabilities.directory import governance, name_rights, ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import validity
from jitid.capabilities.identity.recognise_token import HeldToken
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue import narrow
from jitid.errors import UsageError
from jitid.ledger.view import View
from jitid.model.credential import Credential
from jitid.model.directory import Agent, Delegator, DirectoryEntry
from jitid.model.ledger_rows import Ancestor, Names
from jitid.model.task import Task
from jitid.operation import reach
from jitid.operation.context import Terms
from jitid.policy.decision import Decision, Misuse, PolicyUse
from jitid.policy.policy_request import PolicyRequest
from jitid.values import strict_json
from jitid.values.field_types import texts
from jitid.values.record import Record
from jitid.values.scope import MAX_LENGTH, Scope, covers, has_wildcard, parse_scope
from jitid.values.secret import Secret
from jitid.values.text import quote, refuse_token
from jitid.values.times import format_duration

NO_SCOPE = "scope"
"""The rule in the denial of an action that no scope of the credential covers."""

LONGEST = 4096
"""The maximum number of UTF-8 bytes in the name of a resource, and in the text of a context."""

EMPTY = "{}"
"""The context of an action without further facts."""


class UseRequest(Record):
    """A request to do an action with a token."""

    token: Secret
    action: Annotated[Scope, ACTION]
    resource: Annotated[str, RESOURCE]
    context: Annotated[str, CONTEXT] = EMPTY
    """Facts from the enforcement point: a JSON object in canonical form."""


class UseVerdict(Record):
    """The decision on an action."""

    allowed: bool
    valid: bool
    """Whether the token was valid; for an invalid token there are no further checks."""
    reason: str | None
    """Why it is denied; None if it is allowed."""
    rules: tuple[str, ...]
    scope: str | None
    """The scope of the credential that covers it."""
    credential: Credential | None
    """Also an ended credential. None if this ledger did not issue the token, or if the caller may not see it."""
    lineage: list[Ancestor]


class RecordedUses(Record):
    """The verdicts as the caller sees them, with the time and the event of the record."""

    verdicts: list[UseVerdict]
    at: int
    event: int


# An enforcement point sends the same few actions again and again; a text that is refused is not cached.
@lru_cache(maxsize=256)
def check_action(text: str) -> Scope:
    """Return an action: a scope without wildcards. Raise UsageError for any other text."""
    refuse_token(text, "the action")
    try:
        action = parse_scope(text)
    except UsageError:
        raise UsageError(f"{quote(text)} is not an action", _SHAPE) from None
    if has_wildcard(action):
        raise UsageError(f"{quote(text)} is not a single action: it has a wildcard", _SHAPE)
    return action


_SHAPE = "an action has the form of a scope, such as s3:GetObject"


def check_resource(text: str) -> str:
    """Return the name of a resource unchanged. Raise UsageError for a token, and for text that no ledger can store."""
    if not text.strip():
        raise UsageError("the resource is blank", "name the resource of the action")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("the resource is not UTF-8 text") from None
    if size > LONGEST:
        raise UsageError(f"the resource has {size} bytes, the limit is {LONGEST}")
    if "\0" in text:
        raise UsageError("the resource has a NUL character")
    refuse_token(text, "the resource")
    return text


def check_context(value: object) -> str:
    """Return a context as canonical JSON. Raise UsageError for a token, and unless it is a short JSON object."""
    if not isinstance(value, dict):
        raise UsageError("the context is not a JSON object", 'for example: {"ip": "192.0.2.1"}')
    try:
        text = strict_json.dumps(value)
    except strict_json.StrictJSONError as error:
        raise UsageError(f"the context is invalid: {error}") from error
    if len(text) > LONGEST:
        raise UsageError(f"the context has {len(text)} bytes, the limit is {LONGEST}")
    refuse_token(text, "the context")
    return text


def _context(value: str) -> str:
    try:
        return check_context(strict_json.loads(value, "the context"))
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error)) from None


ACTION = texts(check_action, "ACTION", {"minLength": 1, "maxLength": MAX_LENGTH})
RESOURCE = texts(check_resource, "TEXT", {"minLength": 1, "maxLength": LONGEST})
CONTEXT = texts(_context, "JSON", {"minLength": 2, "maxLength": LONGEST})


def judge(
    snapshot: View,
    names: Names,
    terms: Terms,
    use_requests: Sequence[UseRequest],
    held_tokens: Sequence[HeldToken],
) -> list[UseVerdict]:
    """Decide on actions as of the time of the snapshot; `held_tokens` has the credential of each token."""
    valid = [
        (token.credential, token.lineage)
        for token in held_tokens
        if token.refusal is None and token.credential is not None
    ]
    people = DirectoryStore(snapshot).delegators_named({credential.delegator for credential, _ in valid})
    agents = DirectoryStore(snapshot).agents_named(
        {
            name
            for credential, lineage in valid
            for name in (credential.agent, *(ancestor.agent for ancestor in lineage))
        }
    )
    judging = _Judge(snapshot, names, terms, people, agents)
    return judging.verdicts(use_requests, held_tokens)


def covering(scopes: Sequence[str], action: Scope, resource: str) -> list[Scope]:
    """Return the scopes that cover an action on a resource, the narrowest first.

    A scope does so if it covers the action alone, for any resource; or `ACTION:RESOURCE`, if that is a valid scope.
    """
    exact_scope = action
    if any("*" in scope or scope.startswith(f"{action}:") for scope in scopes):
        with suppress(UsageError):
            exact_scope = parse_scope(f"{action}:{resource}")
    matches = [
        Scope(scope)
        for scope in scopes
        if scope in (exact_scope, action)
        or ("*" in scope and (covers(Scope(scope), exact_scope) or covers(Scope(scope), action)))
    ]
    if len(matches) > 1:
        matches.sort(key=lambda scope: ("*" in scope, -scope.count(":")))
    return matches


def _description(use_request: UseRequest) -> str:
    return f"{quote(use_request.action)} on {quote(use_request.resource)}"


class _Denial(Record):
    rules: tuple[str, ...]
    reason: str


class _Token(Record):
    """A valid token, with the facts that several checks need."""

    credential: Credential
    lineage: list[Ancestor]
    root: str
    """The id of its root identity."""
    entry: DirectoryEntry
    sensitivity: str
    """The sensitivity of the token, by its chain and by the configured floors."""


class _Judge:
    """Decides on many actions as of one time; a query that several actions need is made once."""

    def __init__(
        self,
        snapshot: View,
        names: Names,
        terms: Terms,
        people: Mapping[str, Delegator],
        agents: Mapping[str, Agent],
    ) -> None:
        self._snapshot = snapshot
        self._now = snapshot.now
        self._terms = terms
        self._usual = terms.audiences or names.accepted(snapshot.now)
        self._own = names.issuers
        self._people = people
        self._agents = agents
        self._objections: dict[Hashable, list[governance.Objection]] = {}
        self._proved: dict[str, Delegator | None] = {}
        """The delegators that the subjects of ID tokens prove now, by the ids of the roots."""
        self._foreign: dict[str, list[governance.Objection]] = {}
        """By the ids of the roots: the objection that the delegator of that name is bound to other subjects."""
        self._names_lost: dict[str, list[governance.Objection]] = {}
        self._sensitivities: dict[Hashable, str] = {}
        self._decisions: dict[PolicyRequest, tuple[Decision, frozenset[str]]] = {}

    def verdicts(
        self, use_requests: Sequence[UseRequest], held_tokens: Sequence[HeldToken]
    ) -> list[UseVerdict]:
        """Decide on actions, in their order; the policy judges all remaining uses in one call."""
        judged = [
            self._judged(use_request, held_token)
            for use_request, held_token in zip(use_requests, held_tokens, strict=True)
        ]
        uses = [use for _, use in judged if use is not None]
        refusals = iter(self._terms.policy.permits_uses(uses) if uses else ())
        return [
            verdict if use is None else self._used(verdict, use, next(refusals)) for verdict, use in judged
        ]

    def _judged(self, use_request: UseRequest, held_token: HeldToken) -> tuple[UseVerdict, PolicyUse | None]:
        """Decide on one action without the policy's rules about use; return a use if these rules must judge it."""
        credential, lineage = held_token.credential, held_token.lineage
        if held_token.refusal is not None or credential is None:
            return UseVerdict(False, False, held_token.refusal, (), None, credential, lineage), None
        scopes = covering(credential.scopes, use_request.action, use_request.resource)
        scope = next(iter(scopes), None)
        token = self._token(credential, lineage)
        denial = self._scope_denial(token, use_request, scopes)
        if denial is not None:
            return UseVerdict(False, True, denial.reason, denial.rules, scope, credential, lineage), None
        request = self._request(token, held_token.task, scopes)
        scope, decision, approved, denial = self._decided(credential, request)
        if denial is not None:
            return UseVerdict(False, True, denial.reason, denial.rules, scope, credential, lineage), None
        verdict = UseVerdict(True, True, None, decision.rules, scope, credential, lineage)
        if not self._terms.policy.governs_use:
            return verdict, None
        judged_request = request._replace(
            scopes=(scope,), action=use_request.action, used=use_request.context
        )
        return verdict, PolicyUse(judged_request, use_request.resource, approved)

    def _used(self, verdict: UseVerdict, use: PolicyUse, refusal: Misuse | None) -> UseVerdict:
        """Return the verdict after the policy's decision on the use."""
        policy = self._terms.policy
        if refusal is not None and policy.depends_on_approval and not use.approved:
            assert verdict.credential is not None
            approved = CredentialStore(self._snapshot).approvers_of(verdict.credential.identity_key)
            if approved:
                refusal = policy.permits_use(use.request, use.resource, approved)
        if refusal is None:
            return verdict
        return verdict._replace(allowed=False, reason=refusal.reason, rules=refusal.rules)

    def _token(self, credential: Credential, lineage: list[Ancestor]) -> _Token:
        root = validity.root_of(credential, lineage)
        return _Token(
            credential, lineage, root, self._entry(credential, root), self._sensitivity(credential, lineage)
        )

    def _scope_denial(
        self, token: _Token, use_request: UseRequest, scopes: Sequence[Scope]
    ) -> _Denial | None:
        """Return the denial that the scopes or the directory require, independent of the policy; None without one."""
        if not scopes:
            return _Denial((NO_SCOPE,), f"no scope of the credential covers {_description(use_request)}")
        entry = token.entry
        limits = governance.limits(entry.delegator, entry.agent)
        for record in self._records(token.lineage):
            if record is not entry.agent:
                limits += governance.limits(None, record)
        objections = self._objections_to(token) + [
            governance.Objection(rule, f"{explanation}: {_description(use_request)}", "")
            for rule, limit_scopes, explanation in limits
            if not covering(limit_scopes, use_request.action, use_request.resource)
        ]
        if not objections:
            return None
        reason = "; ".join(f"rule `{objection.rule}`: {objection.reason}" for objection in objections)
        return _Denial(tuple([objection.rule for objection in objections]), reason)

    def _objections_to(self, token: _Token) -> list[governance.Objection]:
        credential, lineage, root, entry, sensitivity = token
        chain = tuple([ancestor.agent for ancestor in lineage])
        key = (
            credential.delegator,
            None if entry.delegator is None else entry.delegator.key,
            credential.agent,
            sensitivity,
            credential.kind,
            credential.audiences,
            chain,
        )
        objections = self._objections.get(key)
        if objections is None:
            objections = governance.objections(
                entry,
                credential.delegator,
                sensitivity,
                known_only=self._terms.known_delegators_only,
                now=self._now,
            )
            # The number of live identities does not grow.
            objections += governance.beyond_limits(
                entry.agent, (credential.kind,), credential.audiences, self._usual, 0, 0, own=self._own
            )
            records = self._records(lineage)
            objections += governance.out_of_service(records, self._now)
            objections += governance.beyond_each(
                [record for record in records if record is not entry.agent],
                (credential.kind,),
                credential.audiences,
                self._usual,
                (),
                own=self._own,
            )
            self._objections[key] = objections
        return objections + self._foreign.get(root, []) + self._lost(entry, credential)

    def _records(self, lineage: Sequence[Ancestor]) -> list[Agent]:
        """Return the records of the agents above a credential: they limit delegated credentials too."""
        if not lineage:
            return []
        names = dict.fromkeys(ancestor.agent for ancestor in lineage)
        return [record for name in names if (record := self._agents.get(name)) is not None]

    def _lost(self, entry: DirectoryEntry, credential: Credential) -> list[governance.Objection]:
        """Return the objection to an identity whose right to its agent's name is gone."""
        if credential.recurring is None:
            return []
        objections = self._names_lost.get(credential.id)
        if objections is None:
            objections = name_rights.lost(self._snapshot, entry.agent, credential, self._now)
            self._names_lost[credential.id] = objections
        return objections

    def _request(self, token: _Token, task: Task | None, scopes: Sequence[Scope]) -> PolicyRequest:
        """Return the request to issue a credential as the policy would see it now, with the scopes for an action."""
        credential = token.credential
        return PolicyRequest(
            credential.agent,
            credential.delegator,
            validity.root_proof(credential, token.lineage),
            credential.task,
            credential.task_opener
            if task is None
            else ownership.owner_for_policy(self._snapshot, task, credential.delegator, token.root),
            None if task is None else task.purpose,
            token.sensitivity,
            credential.kind,
            credential.depth,
            tuple(scopes),
            credential.audiences,
            credential.expires_at - credential.issued_at,
            self._now,
            governance.directory_facts(token.entry),
            self._terms.zone,
            template=credential.template or "",
        )

    def _sensitivity(self, credential: Credential, lineage: Sequence[Ancestor]) -> str:
        """Return the current sensitivity of a credential: by its chain, and by the floors configured now."""
        chain = narrow.sensitivity_of(credential, lineage) if lineage else credential.sensitivity
        cache_key = (
            chain,
            credential.scopes,
            credential.token_use,
            credential.audiences,
            credential.may_audience,
            credential.may_act,
        )
        level = self._sensitivities.get(cache_key)
        if level is None:
            scopes, later_audiences = map(Scope, credential.scopes), reach.held(credential).later
            judged = narrow.sensitivity(
                chain, None, scopes, credential.audiences, self._terms, may_audience=later_audiences
            )
            level = self._sensitivities[cache_key] = judged.level
        return level

    def _decided(
        self, credential: Credential, request: PolicyRequest
    ) -> tuple[Scope, Decision, frozenset[str], _Denial | None]:
        """Return the policy's current decision on the issue, with the scope, the approving groups and the denial."""
        decision, approved = self._decision(credential, request)
        if not decision.permit:
            return Scope(request.scopes[0]), decision, approved, _Denial(decision.rules, decision.reason)
        scope = Scope(decision.granted[0])
        age = self._now - credential.issued_at
        if decision.max_ttl is None or age < decision.max_ttl:
            return scope, decision, approved, None
        reason = (
            f"rule `{decision.ttl_rule}` permits at most {format_duration(decision.max_ttl)}, and the credential "
            f"was issued {format_duration(age)} ago"
        )
        return scope, decision, approved, _Denial((str(decision.ttl_rule),), reason)

    def _decision(self, credential: Credential, request: PolicyRequest) -> tuple[Decision, frozenset[str]]:
        """Return the policy's decision on issue and scopes, and the approving groups that were passed to it."""
        cached = self._decisions.get(request)
        if cached is not None:
            return cached
        policy, approved = self._terms.policy, frozenset[str]()
        decision = policy.decide(request, narrow=True, explain=False)
        if decision.needs:
            # An approval is for one identity, so this decision is not reused for another.
            approved = CredentialStore(self._snapshot).approvers_of(credential.identity_key)
            return policy.decide(request, narrow=True, explain=False, approved=approved), approved
        self._decisions[request] = decision, approved
        return decision, approved

    def _entry(self, credential: Credential, root: str) -> DirectoryEntry:
        """Return the directory's entry of agent and delegator; the delegator's subject precedes the name."""
        subject = credential.proved_subject
        if subject is not None and root not in self._proved:
            self._proved[root] = DirectoryStore(self._snapshot).find_delegator(subject)
            self._foreign[root] = governance.proved_as_another(
                DirectoryStore(self._snapshot), credential.delegator, subject
            )
        person = self._proved.get(root) or self._people.get(credential.delegator)
        return DirectoryEntry(person, self._agents.get(credential.agent), 0)
