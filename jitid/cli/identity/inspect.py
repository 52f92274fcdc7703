"""`jitid inspect`: show all facts about a token or an id.

With --why: the reasons for a recorded decision, and the decision that the current policy would make.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.decisions.operations import Explain
from jitid.capabilities.inventory.operations import ShowTask
from jitid.cli import hints
from jitid.cli.identity import subject
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.issuers.issuer import spec_of
from jitid.model.credential import (
    PROOFS,
    Credential,
    Kind,
    State,
    TokenUse,
    accepted_until,
    base_kind,
    exchanged_until,
    is_outside,
)
from jitid.model.delegation import act_claim, actors_of
from jitid.system import output
from jitid.values.ids import PREFIXES
from jitid.values.text import quote, safe
from jitid.values.times import optional_time

if TYPE_CHECKING:
    from jitid.capabilities.decisions.explanation import Explanation, RuleText
    from jitid.capabilities.inventory.operations import Inspect, Inspection

_TASK = Columns("", "name state purpose sensitivity deadline opened_at ended_at")
_AT_TARGET = Columns(
    "",
    "target=record.target name=record.name reference=record.reference facts settlement proof attempts tried_at "
    "settled_at next_at honoured_until event",
)
_REQUEST = Columns(
    "",
    "agent delegator proof=delegator_proof task task_owner purpose sensitivity kind depth scopes audiences "
    "ttl=lifetime zone known=standing.known groups=standing.groups manager=standing.manager "
    "registered=standing.registered owner=standing.owner",
    durations="ttl",
)
_OUTCOME = Columns("", "decision reason rules granted lifetime needs", durations="lifetime")


def inspect(cli: Invocation, operation: Inspect) -> None:
    """Perform `jitid inspect`."""
    if operation.task is not None:
        _show_task(cli, operation)
        return
    if operation.why or operation.event is not None:
        _explain(cli, operation)
        return
    authority = open_authority(cli.config())
    word = operation.subject or "-"
    if not (word == "-" or word.startswith(PREFIXES) or os.path.lexists(word)):
        named = subject.find(authority, word)
        if named is not None:
            _show_named(cli, named)
            return
        if subject.may_look_up(word) and not {*"./"} & {*word}:
            raise subject.unknown(word)
    operation = operation.replace(**_chosen(operation))
    with hints.advised():
        inspection = authority.perform(operation)
    cli.expect(operation.view.named)
    row = operation.view.row(inspection, _computed(inspection))
    if cli.by_eye():
        for name in ("exp", "iat", "nbf"):
            row[name] = f"{row[name]} ({optional_time(row[name])})"
    cli.show_row(operation.view, row, empty=(None, "", []))


def _chosen(operation: Inspect) -> dict[str, Any]:
    """Return the id or the token that the line names, by the name of the field."""
    if operation.subject is not None and operation.subject.startswith(PREFIXES):
        return {"id": operation.subject}
    return {"token": hints.subject(operation.subject)}


def _show_task(cli: Invocation, operation: Inspect) -> None:
    if operation.subject is not None or operation.why or operation.event is not None:
        raise UsageError("--task excludes a further argument, --why and --event", "omit one of them")
    assert operation.task is not None
    row = open_authority(cli.config()).perform(ShowTask(name=operation.task))
    cli.show_records(ShowTask.view, [row])


def _show_named(cli: Invocation, named: subject.NamedObject) -> None:
    """Show a task, or the record of an agent or a delegator; without a record, its credentials."""
    if named.task is not None:
        cli.show_records(ShowTask.view, [named.task])
        return
    from jitid.cli.directory import agent_verbs, delegator_verbs
    from jitid.errors import NotFoundError, RefusedError

    try:
        if named.kind is subject.NamedKind.AGENT:
            from jitid.capabilities.directory.operations import ShowAgent

            agent_verbs.show(cli, ShowAgent(name=named.name, issues=5))
        else:
            from jitid.capabilities.directory.operations import ShowDelegator

            delegator_verbs.show(cli, ShowDelegator(name=named.name))
    except (NotFoundError, RefusedError):
        from jitid.cli.identity.list import show_credentials

        cli.note(f"{named.name} has no record; its credentials:")
        show_credentials(cli, named.filter)


def _computed(inspection: Inspection) -> dict[str, Any]:
    from jitid.model.subject_template import rendered
    from jitid.values import strict_json

    credential, task = inspection.credential, inspection.task
    event, ended = inspection.event or {}, inspection.ended_event
    return {
        "state": state(inspection),
        "sub": credential.delegator,
        "act": act_claim(actors_of(inspection.trust_domain, [credential, *inspection.lineage])),
        "chain": [
            credential.delegator,
            *(ancestor.agent for ancestor in reversed(inspection.lineage)),
            credential.agent,
        ],
        "scope": " ".join(credential.scopes),
        "aud": list(credential.audiences),
        "exp": credential.expires_at,
        "iat": credential.issued_at,
        "nbf": credential.issued_at,
        "token_type": None if credential.kind in (*PROOFS, Kind.ADOPTED) else _token_type(credential),
        "authorization_details": None
        if credential.details is None
        else strict_json.loads(credential.details),
        "task": _TASK.row(task, {"state": "ended" if task.ended_at is not None else "open"}),
        "last_used_at": max((use.last_at for use in inspection.used), default=None),
        "scopes_used": [use.scope for use in inspection.used],
        "decision": {
            "event": credential.event,
            **{
                name: event[name]
                for name in ("rules", "policy", "ttl", "lifetime", "refused", "by", "approval", "approvers")
                if name in event
            },
        },
        "ended": None
        if ended is None
        else {
            "at": optional_time(credential.ended_at),
            "as": credential.ended_as,
            "event": credential.ended_event,
            "by": ended.get("by"),
            "reason": ended.get("reason"),
        },
        "process": _process(inspection),
        # Names of the client, which may state any text: a reader must not take them for facts of the ledger.
        "session": None
        if inspection.session is None
        else {**inspection.session._asdict(), "stated_by": "client"},
        "at_target": _at_target(inspection),
        "revocation_list": _revocation_list(inspection),
        "may_kind": None if credential.may_kind is None else list(credential.may_kind),
        "may_audience": credential.may_audience if credential.token_use else (),
        "subject": rendered(credential, inspection.trust_domain) if credential.subject is not None else None,
        "exchanged_until": optional_time(exchanged_until(credential.expires_at, credential.exchange_life)),
    }


def _revocation_list(inspection: Inspection) -> dict[str, Any] | None:
    """Return the revocation list of a certificate that ended before its expiry, with its serial number, or None."""
    credential = inspection.credential
    if credential.ended_as in (None, State.EXPIRED):
        return None
    spec = None if is_outside(credential.kind) else spec_of(base_kind(credential.kind))
    if spec is None or spec.serial_of is None:
        return None
    return {
        "verb": spec.revocation_list,
        # As text: the number is wider than JSON numbers that every reader keeps exact (RFC 8259, section 6).
        "serial": str(spec.serial_of(credential.jti)),
        "ended_at": optional_time(credential.ended_at),
        "event": credential.ended_event,
        "honoured_until": optional_time(accepted_until(credential.expires_at)),
    }


def _at_target(inspection: Inspection) -> dict[str, Any] | None:
    """Return the target that created a credential, and the evidence of its revocation there."""
    outside = inspection.outside
    if outside is None:
        return None
    next_at = outside.next_at if outside.settled_at is None and outside.dead else None
    return _AT_TARGET.row(outside, {"facts": dict(outside.facts), "next_at": next_at})


def _process(inspection: Inspection) -> dict[str, Any] | None:
    from jitid.system.processes import liveness, this_process

    process = inspection.credential.process
    if process is None:
        return None
    return {
        "host": process.host,
        "pid": process.pid,
        "state": liveness(process, this_process()).value,
        "on_exit": "keep" if process.kept else "revoke",
    }


def state(inspection: Inspection) -> str:
    """Return the state of a credential: `active`, how it ended, or `invalid`."""
    if inspection.active:
        return "active"
    if inspection.credential.ended_as is not None:
        return inspection.credential.ended_as
    return "expired" if inspection.reason and "expired" in inspection.reason else "invalid"


def _token_type(credential: Credential) -> str:
    """Return the token type: `N_A` for a token that is not an access token (RFC 8693, section 2.2.1)."""
    return "N_A" if credential.token_use == TokenUse.IDENTITY else "Bearer"


def _explain(cli: Invocation, inspection: Inspect) -> None:
    """Explain a decision: the reasons at that time, and the decision that the current policy would make."""
    if inspection.event is None:
        _refuse_name(cli, inspection.subject)
        operation = Explain(**_chosen(inspection))
    elif inspection.subject is not None:
        raise UsageError("an event and a credential exclude each other", "omit one of them")
    else:
        operation = Explain(event=inspection.event)
    cli.expect(Explain.view.named)
    with hints.advised():
        explanation = open_authority(cli.config()).perform(operation)
    if explanation.lost is not None:
        cli.warn(explanation.lost)
    row = operation.view.row(explanation, _decision_values(explanation))
    if not cli.by_eye():
        cli.show_row(operation.view, row)
        return
    # The texts of the rules are below the table.
    cli.show_row(operation.view, row | {"texts": None}, empty=(None, "", [], (), {}))
    output.write("".join(_text(rule) for rule in explanation.rules))


def _refuse_name(cli: Invocation, word: str | None) -> None:
    """Raise UsageError for a name: each credential of a task, an agent or a delegator has a separate decision."""
    if word is None or word == "-" or word.startswith(PREFIXES) or os.path.lexists(word):
        return
    named = subject.find(open_authority(cli.config()), word)
    if named is not None:
        raise UsageError(
            f"{quote(named.name)} is {named.with_article}, and --why explains the decision about one credential",
            f"to list its credentials: jitid list {subject.option_of(named)}",
        )


def _decision_values(explanation: Explanation) -> dict[str, Any]:
    document, credential = explanation.document, explanation.credential
    return {
        "reason": explanation.then.reason or None,
        "operation": document["op"],
        "at": optional_time(document["at"]),
        "by": document["by"],
        "id": document.get("id") if credential is None else credential.id,
        "jti": document.get("jti") if credential is None else credential.jti,
        "count": document.get("count"),
        "refused": document.get("refused", []),
        "asked": None
        if explanation.request is None
        else _REQUEST.row(explanation.request, {"zone": document.get("zone", "UTC")}),
        "approvers": document.get("approvers"),
        "policy": document.get("policy"),
        "stored": None if "policy" not in document else explanation.lost is None,
        "texts": [rule._asdict() for rule in explanation.rules],
        "now": _now(explanation),
        "differs": {
            difference.what: {"then": difference.then, "now": difference.now}
            for difference in explanation.differences
        },
    }


def _now(explanation: Explanation) -> dict[str, Any] | None:
    if explanation.now is None:
        return None if explanation.trouble is None else {"decision": "unknown", "reason": explanation.trouble}
    return {**_OUTCOME.row(explanation.now), "hint": explanation.nearest, "policy": explanation.policy_now}


def _text(rule: RuleText) -> str:
    lines = (
        f"{rule.rule} ({rule.file}, line {rule.line}), {_NOW[rule.now]}",
        f"sha256 {rule.sha256}",
        *(f"  {line}" for line in rule.text.replace("\t", "  ").splitlines()),
    )
    return "\n" + "".join(f"{safe(line)}\n" for line in lines)


_NOW = {
    "same": "unchanged in today's policy",
    "changed": "changed in today's policy",
    "gone": "missing in today's policy",
    "unknown": "today's policy cannot be read",
}
"""Text for each value of `RuleText.now`."""
