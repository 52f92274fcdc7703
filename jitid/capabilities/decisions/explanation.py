"""Explanation of a decision: its record, inputs and rules, and the decision that the same request would get now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jitid.capabilities.decisions.replay import DECISIONS, is_narrowed, is_whole, request_of
from jitid.capabilities.directory import governance, name_rights
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token, validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue import narrow as narrowing
from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    NotFoundError,
    PolicyDeniedError,
    StorageError,
    UsageError,
)
from jitid.ledger.policies import kept
from jitid.ledger.view import View
from jitid.model import delegation
from jitid.model.credential import FORMER_PROOF, Credential, named_kind
from jitid.model.directory import Agent, DirectoryEntry
from jitid.model.ledger_rows import Ancestor, Names
from jitid.operation import reach
from jitid.operation.context import Terms
from jitid.policy.decision import PolicyOutcome, outcome
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import DirectoryFacts, PolicyRequest
from jitid.policy.position import CataloguedRule, catalogue
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from jitid.values.text import quote
from jitid.values.times import format_time, optional_duration

Files = Sequence[tuple[str, str]]


class RuleText(Record):
    """A rule that decided, with its text at that time."""

    rule: str
    file: str
    line: int
    effect: str
    sha256: str
    text: str
    now: str
    """The rule's state in today's policy: `same`, `changed` or `gone`; `unknown` if the policy cannot be read."""


class ChangedInput(Record):
    """An input that has changed since the decision, in words."""

    what: str
    then: str
    now: str


class Explanation(Record):
    """A decision with all known facts about it."""

    event: int
    document: Mapping[str, Any]
    """The content of the audit event."""
    credential: Credential | None
    """The credential, if the caller named one."""
    request: PolicyRequest | None
    """The request; None if the event does not have it, because the refusal came earlier."""
    then: PolicyOutcome
    """The recorded outcome. The reason is blank if it was not recorded and cannot be reproduced with the policy."""
    lost: str | None
    """Why the text of the policy that decided is unavailable; None if it is available or no policy decided."""
    rules: tuple[RuleText, ...]
    """The rules of the policy that decided on the issue and on its scopes."""
    now: PolicyOutcome | None
    """The outcome of the same request today, on an open task; None if it cannot be determined."""
    trouble: str | None
    """Why today's outcome cannot be determined."""
    nearest: str | None
    """The nearest request that would be permitted now, if this one would be denied."""
    policy_now: str | None
    """The digest of today's policy."""
    differences: tuple[ChangedInput, ...]


def explain(
    snapshot: View,
    names: Names,
    terms: Callable[[], Terms],
    *,
    id_: str | None = None,
    token: Secret | None = None,
    event: int | None = None,
) -> Explanation:
    """Explain the decision about a credential, named by an id or given as a token, or the decision of an audit event.

    Raises:
        NotFoundError: there is no such credential or event.
        UsageError: the event is not a decision.
        InvalidCredentialError: the token is not from this ledger.

    """
    credential = None
    if token is not None:
        credential = recognise_token.recognise(snapshot, names, token.reveal(), shown=True)
    elif id_ is not None:
        credential = validity.find(snapshot, id_)
    document = _document(snapshot, event if credential is None else credential.event)
    request = request_of(document, names.issuer) if is_whole(document) else None
    files, policy, lost = _stored(snapshot, document.get("policy"))
    old_outcome, replayed = _recorded(document, request, policy)
    today, trouble = _agreed(terms)
    new_outcome, nearest = None, None
    if request is not None and today is not None:
        new_outcome, nearest, current = _decide_now(snapshot, names, today, document, request, credential)
        differences = tuple(
            _differences(document, request, current, replayed or old_outcome, new_outcome, today)
        )
    return Explanation(
        document["seq"],
        document,
        credential,
        request,
        old_outcome,
        lost,
        tuple(_texts(files, _deciding(old_outcome, document, request, policy), today)),
        new_outcome,
        trouble,
        nearest,
        None if today is None else today.policy.digest,
        () if new_outcome is None else differences,
    )


def _document(snapshot: View, seq: int | None) -> dict[str, Any]:
    if seq is None:
        raise UsageError(
            "an id, a token or an event is required", "pass an id, a token on standard input, or --event N"
        )
    event = snapshot.event(seq) if 0 < seq < 1 << 62 else None
    if event is None:
        raise NotFoundError(f"the audit log has no event {seq}", "see: jitid audit log")
    document = event.document()
    if document["op"] == "use":
        raise UsageError(
            f"event {seq} records uses of credentials; only issues, renewals and denials can be explained",
            "to show each use with its rules and reason: "
            f"jitid audit log --event {seq} --at {format_time(document['at'])}",
        )
    if document["op"] not in DECISIONS:
        raise UsageError(
            f"event {seq} is not a decision: its operation is {quote(document['op'])}",
            f"decisions are {', '.join(DECISIONS)}; to list denials: jitid audit log --operation denial",
        )
    return document


def _stored(snapshot: View, digest: str | None) -> tuple[list[tuple[str, str]], Policy | None, str | None]:
    """Return the files of the policy that decided, the parsed policy, and the error if one is missing or unreadable.

    All are empty if no policy was consulted.
    """
    if digest is None:
        return [], None, None
    try:
        files = kept(snapshot, digest)
        if files is None:
            return [], None, f"the ledger does not have the text of the policy {digest}"
        return files, Policy(files), None
    except IntegrityError as error:
        return [], None, error.message
    except ConfigurationError as error:
        return [], None, f"this version of jitid cannot read the policy of the decision: {error.message}"


def _agreed(terms: Callable[[], Terms]) -> tuple[Terms | None, str | None]:
    """Return today's terms, or why they cannot be used: past decisions can be explained without them."""
    try:
        return terms(), None
    except (ConfigurationError, IntegrityError, StorageError) as error:
        return None, error.message


def _approved(document: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(document.get("approvers", ()))


def _recorded(
    document: Mapping[str, Any], request: PolicyRequest | None, policy: Policy | None
) -> tuple[PolicyOutcome, PolicyOutcome | None]:
    """Return the recorded outcome, and the outcome that the same policy gives again; None if that differs."""
    denied = document["op"] == "denial"
    rules = tuple(document.get("rules", ()))
    old_outcome = PolicyOutcome(
        "deny" if denied else "permit",
        rules,
        () if denied else tuple(document.get("granted", document.get("scopes", ()))),
        document.get("lifetime"),
        (),
        document.get("reason", ""),
    )
    if policy is None or request is None:
        return old_outcome, None
    decision = policy.decide(
        request, narrow=is_narrowed(document), explain=False, approved=_approved(document)
    )
    replayed = outcome(decision, request.lifetime)
    if replayed.rules != rules or (replayed.decision == "permit") is denied:
        return old_outcome, None
    return old_outcome._replace(
        decision=replayed.decision, needs=replayed.needs, reason=old_outcome.reason or replayed.reason
    ), replayed


def _deciding(
    old_outcome: PolicyOutcome,
    document: Mapping[str, Any],
    request: PolicyRequest | None,
    policy: Policy | None,
) -> list[str]:
    """Return the rules that decided: the recorded rules, and the rules about scopes of an issued credential."""
    rules = list(old_outcome.rules)
    if policy is not None and request is not None and old_outcome.decision == "permit":
        approved = _approved(document)
        policy_rules = policy.deciding(request, approved) | set(policy.approval_rules(request, approved))
        if policy_rules.issuperset(rules):
            rules += sorted(policy_rules.difference(rules))
    return rules


def _texts(files: Files, rules: Sequence[str], today: Terms | None) -> Iterator[RuleText]:
    old = {entry.rule.name: entry for entry in catalogue(files)}
    new: Mapping[str, CataloguedRule] | None = None
    if today is not None:
        new = {entry.rule.name: entry for entry in catalogue(strict_json.loads(today.policy_text, "policy"))}
    for name in rules:
        entry = old.get(name)
        if entry is None:
            continue
        state = "unknown"
        if new is not None:
            state = "gone" if name not in new else "same" if new[name].text == entry.text else "changed"
        rule = entry.rule
        yield RuleText(name, rule.file, entry.line, rule.effect, entry.sha256, entry.text, state)


def _decide_now(
    snapshot: View,
    names: Names,
    terms: Terms,
    document: Mapping[str, Any],
    request: PolicyRequest,
    credential: Credential | None,
) -> tuple[PolicyOutcome, str | None, PolicyRequest]:
    """Return today's outcome of the same request, the nearest permitted request, and the request as judged today."""
    narrow = is_narrowed(document)
    scopes = tuple(Scope(scope) for scope in request.scopes)
    above = _above(snapshot, document, credential)
    proof, chain_sensitivity = request.delegator_proof, request.sensitivity
    if above is not None:
        proof, chain_sensitivity = validity.root_proof(*above), narrowing.sensitivity_of(*above)
    later = reach.later_audiences(document)
    sensitivity = narrowing.sensitivity(
        request.sensitivity, chain_sensitivity, scopes, request.audiences, terms, may_audience=later
    ).level
    subject = document.get("subject") if above is None else above[0].proved_subject
    entry = DirectoryStore(snapshot).entry(
        governance.known_as(DirectoryStore(snapshot), request.delegator, subject), request.agent
    )
    current = request._replace(
        delegator_proof=proof if request.delegator_proof == FORMER_PROOF else request.delegator_proof,
        sensitivity=sensitivity,
        now=snapshot.now,
        standing=governance.directory_facts(entry),
        zone=terms.zone,
    )
    objections = (
        [] if credential is None else name_rights.lost(snapshot, entry.agent, credential, snapshot.now)
    )
    objections += governance.proved_as_another(DirectoryStore(snapshot), request.delegator, subject)
    records = governance.records_of(DirectoryStore(snapshot), _delegating(above, credential))
    try:
        permitted = _within_limits(
            names, terms, current, entry, records, _details(credential), objections, narrow=narrow
        )
    except PolicyDeniedError as denial:
        rules = tuple(denial.facts["rules"])
        return PolicyOutcome("deny", rules, (), None, (), denial.facts["reason"]), denial.hint, current
    current = current._replace(scopes=permitted)
    decision = terms.policy.decide(current, narrow=narrow, approved=_approved(document))
    result = outcome(decision, request.lifetime)
    if _approved(document) and decision.permit:
        unapproved = terms.policy.decide(current, narrow=narrow, explain=False)
        if unapproved.needs:
            groups = " and ".join(map(quote, unapproved.needs))
            reason = f"{result.reason}, with the earlier approval; a new request requires one by {groups}"
            result = result._replace(reason=reason)
    limit = governance.longest(entry.agent)
    if result.lifetime is not None and limit is not None:
        result = result._replace(lifetime=min(result.lifetime, limit[0]))
    return result, decision.nearest, current


def _within_limits(
    names: Names,
    terms: Terms,
    current: PolicyRequest,
    entry: DirectoryEntry,
    records: Sequence[Agent],
    details: Sequence[str],
    objections: Sequence[governance.Objection],
    *,
    narrow: bool,
) -> tuple[Scope, ...]:
    """Return the scopes that the directory and the agents' records permit today.

    Raises:
        PolicyDeniedError: there are objections, the given ones included, or no scope remains.

    """
    # A grant leaves out usual kinds that the record does not permit. With `narrow`, it leaves out all such kinds.
    may_kinds = () if narrow else tuple(named_kind(*pair) for pair in current.may_kind)
    kinds, usual_audiences = (current.kind, *may_kinds), terms.audiences or names.accepted(current.now)
    governance.must_not_object(
        governance.objections(
            entry,
            current.delegator,
            current.sensitivity,
            known_only=terms.known_delegators_only,
            now=current.now,
        )
        # The explained credential counts as replaced, so the limit of live identities does not apply.
        + governance.beyond_limits(
            entry.agent, kinds, current.audiences, usual_audiences, 0, 0, own=names.issuers
        )
        + governance.beyond_scopes(entry.delegator, entry.agent, details)
        + governance.beyond_types(terms.detail_types, details)
        + governance.out_of_service(records, current.now)
        + governance.beyond_each(
            records, kinds, current.audiences, usual_audiences, details, own=names.issuers
        )
        + list(objections),
        {},
    )
    scopes = tuple(Scope(scope) for scope in current.scopes)
    for person, agent in ((entry.delegator, entry.agent), *((None, record) for record in records)):
        scopes = governance.permitted_scopes(person, agent, scopes, {}, [], allow_narrower=narrow)
    return scopes


def _details(credential: Credential | None) -> list[str]:
    """Return the `authorization_details` of a credential; a denial does not record any."""
    return [] if credential is None else delegation.detail_texts(credential.details)


def _above(
    snapshot: View, document: Mapping[str, Any], credential: Credential | None
) -> tuple[Credential, list[Ancestor]] | None:
    """Return a credential with the identities above it: the explained credential, or the parent in a denial."""
    if credential is None and "parent" in document:
        credential = validity.find(snapshot, document["parent"])
    if credential is None:
        return None
    return credential, CredentialStore(snapshot).lineage(credential.identity_key)


def _delegating(above: tuple[Credential, list[Ancestor]] | None, explained: Credential | None) -> list[str]:
    """Return the agents in the delegation chain."""
    if above is None:
        return []
    credential, lineage = above
    agents = [ancestor.agent for ancestor in lineage]
    return agents if explained is not None else [credential.agent, *agents]


def _differences(
    document: Mapping[str, Any],
    request: PolicyRequest,
    current: PolicyRequest,
    old_outcome: PolicyOutcome,
    new_outcome: PolicyOutcome,
    today: Terms,
) -> Iterator[ChangedInput]:
    pairs: list[tuple[str, object, object]] = [
        ("decision", old_outcome.decision, new_outcome.decision),
        ("rules", old_outcome.rules, new_outcome.rules),
        ("granted", old_outcome.granted, new_outcome.granted),
        ("lifetime", optional_duration(old_outcome.lifetime), optional_duration(new_outcome.lifetime)),
        ("needs", old_outcome.needs, new_outcome.needs),
        ("policy", document.get("policy"), today.policy.digest),
        ("sensitivity", request.sensitivity, current.sensitivity),
        ("zone", document.get("zone", "UTC"), today.zone_name or "UTC"),
        *(
            (f"standing.{name}", getattr(request.standing, name), getattr(current.standing, name))
            for name in DirectoryFacts._fields
        ),
    ]
    for label, old_value, new_value in pairs:
        if old_value != new_value:
            yield ChangedInput(label, _words(old_value), _words(new_value))


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return "none" if value is None else str(value)
