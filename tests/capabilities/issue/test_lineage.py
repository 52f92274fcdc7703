"""Proof and sensitivity in a chain: no delegated identity is better proved or more sensitive than its root."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jitid.capabilities.decisions.operations import Explain
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue import narrow
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach, Renew
from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.errors import PolicyDeniedError
from jitid.model.access import Caller
from jitid.model.credential import Credential
from jitid.model.request import AttachRequest, MayAct, RenewRequest
from jitid.model.task import SENSITIVITIES, rank
from jitid.operation.context import Terms
from jitid.policy.default import default_files
from jitid.values.names import may_reach
from jitid.values.scope import Scope, may_overlap
from jitid.values.secret import Secret
from tests.builders import DEFAULT_POLICY, PERMIT_ALL, Made, World, edit, policed
from tests.capabilities.issue.test_issuance import claims, denied

NO_ASSERTED = """@id("no-asserted") forbid (principal, action, resource)
when { context.delegator_proof == "asserted" && context.delegated };"""
UNPROVED = (*PERMIT_ALL, ("no.cedar", NO_ASSERTED))
AS_PARENT = "UPDATE identity SET proof = 'parent' WHERE parent IS NOT NULL"
"""Older versions stored delegated identities like this, without the proof of their root."""


def listed(world: World) -> list[Credential]:
    """Return all credentials of the ledger."""
    with world.ledger.read() as snapshot:
        return list(
            CredentialStore(snapshot).credentials(
                Filter(), "issued_at", descending=False, after=None, limit=1_000
            )
        )


def renew(world: World, token: str) -> Issued:
    """Renew a credential."""
    return world.authority.perform(Renew(request=RenewRequest(Secret.single(token))))


def attach(world: World, token: str) -> Issued:
    """Attach an opaque token by the right of a token."""
    return world.authority.perform(
        Attach(request=AttachRequest(Secret.single(token), "opaque", audiences=("urn:a",)))
    )


def rules(world: World, token: str, action: str) -> tuple[str, ...]:
    """Return the rules that refuse an action; none if it is allowed."""
    asked = UseRequest(Secret.single(token), Scope(action), "x")
    (verdict,) = world.authority.perform(Authorize(asked=(asked,))).verdicts
    return () if verdict.allowed else verdict.rules


def under(world: World, files: Any, **terms: Any) -> None:
    """Continue the ledger under another policy and other terms."""
    world.terms = policed(world.terms, files)._replace(**terms)
    world.reopen()


# Proof.


@pytest.mark.parametrize(("delegator", "proof"), [("user:alice", "asserted"), ("user:tester", "os-user")])
def test_the_proof_is_the_roots_at_every_depth(world: World, delegator: str, proof: str) -> None:
    chain = world.chain(4, delegator=delegator)
    for depth, made in enumerate(chain):
        assert made.issued.delegator_proof == proof
        assert claims(made.token)["delegator_proof"] == proof
        assert world.verify(made.token).delegator_proof == proof
        found = world.authority.perform(Inspect(id=made.id))
        assert (found.credential.delegator_proof, found.credential.depth) == (proof, depth)
    assert {one.delegator_proof for one in listed(world)} == {proof}
    assert [event["proof"] for event in world.events() if event["op"] == "issue"] == [proof] * 4
    world.check()


def test_a_rule_about_the_proof_holds_below_the_root(world: World) -> None:
    under(world, UNPROVED)
    root = world.issue()
    assert denied(world, parent=root.token) == ("no-asserted",)
    proved = world.issue(delegator="user:tester")
    assert world.issue(parent=proved.token).issued.delegator_proof == "os-user"


def test_a_caller_who_names_no_delegator_may_delegate_what_was_merely_stated(world: World) -> None:
    root = world.issue()
    world.terms = world.terms.serving(
        Caller("agent:planner", frozenset(), proof="credential", agent="planner")
    )
    world.reopen()
    assert world.issue(parent=root.token).issued.delegator_proof == "asserted"


def test_what_is_below_an_old_row_has_the_proof_of_its_root(world: World) -> None:
    """An old row has the proof `parent` until it ends. The policy never gets this value."""
    root, old = world.chain(2, kind="opaque", scopes=["repo:read"], may_audience=("urn:a",))
    edit(world.path, AS_PARENT)
    world.reopen()
    young = world.issue(parent=old.token, kind="opaque", scopes=["repo:read"])
    assert young.issued.delegator_proof == "asserted"
    assert world.verify(old.token).delegator_proof == "parent"
    asked = world.authority.perform(Explain(id=young.id)).request
    assert asked is not None
    assert asked.delegator_proof == "asserted"
    renewed = renew(world, old.token)
    assert renewed.delegator_proof == "parent"
    assert world.events()[-1]["root_proof"] == "asserted"
    token = renewed.credentials[0].secret.reveal()
    assert rules(world, token, "repo:read") == ()
    under(world, UNPROVED)
    for refused in (renew, attach):
        with pytest.raises(PolicyDeniedError, match="no-asserted"):
            refused(world, token)
    assert denied(world, parent=token) == ("no-asserted",)
    assert rules(world, token, "repo:read") == ("no-asserted",)
    found = world.authority.perform(Explain(id=old.id))
    assert found.now is not None
    assert found.now.rules == ("no-asserted",)
    assert rules(world, root.token, "repo:read") == ()


# Sensitivity.


def test_a_child_is_not_more_sensitive_than_its_parent(world: World) -> None:
    world.know("user:tester")
    parent = world.issue(delegator="user:tester", purpose="x")
    world.issue(task="T1/GRAVE", delegator="user:tester", sensitivity="critical", purpose="x")
    for fields in ({"task": "T1/NEW", "sensitivity": "high"}, {"task": "T1/GRAVE"}):
        assert denied(world, parent=parent.token, **fields) == ("attenuation",)
    with world.ledger.read() as snapshot:
        assert TaskStore(snapshot).find_task("T1/NEW") is None
    assert world.issue(parent=parent.token, task="T1/NEW").issued.sensitivity == "moderate"


def test_a_floor_above_the_parent_is_not_delegated(world: World) -> None:
    """Such a floor is newer than the parent. Otherwise the parent would need that sensitivity for the scope."""
    under(world, PERMIT_ALL)
    parent = world.issue(scopes=["prod:*", "repo:*"])
    under(world, PERMIT_ALL, scope_floors={"prod:write:*": "critical"}, audience_floors={"urn:b": "high"})
    assert denied(world, parent=parent.token, scopes=["prod:write"]) == ("attenuation",)
    assert world.issue(parent=parent.token, scopes=["repo:read"]).issued.sensitivity == "moderate"
    again = world.issue(task="T2", scopes=["prod:*", "repo:*"])
    assert again.issued.sensitivity == "critical"
    assert world.issue(parent=again.token, scopes=["prod:write"]).issued.sensitivity == "critical"


def test_a_floor_counts_for_what_may_be_obtained(world: World) -> None:
    """Otherwise a moderate identity could obtain tokens for a service that demands a higher sensitivity."""
    under(world, PERMIT_ALL, audience_floors={"https://pay.example.com": "critical"})
    for fields in (
        {"may_audience": ("https://pay.example.com",)},
        {"may_audience": ("https://*.example.com",)},
        {"audiences": ("https://pay.example.com",)},
        {"audiences": ("urn:a",), "may_act": (MayAct("system:gateway", ("https://*.example.com",)),)},
    ):
        assert world.issue(**fields).issued.sensitivity == "critical"
    assert world.issue(may_audience=("https://*.example.org",)).issued.sensitivity == "moderate"


def test_a_scope_that_is_left_out_raises_nothing(world: World) -> None:
    under(world, PERMIT_ALL, scope_floors={"prod:*": "critical"})
    parent = world.issue(scopes=["repo:*"])
    fields = {"parent": parent.token, "scopes": ["repo:read", "prod:write"]}
    assert denied(world, **fields) == ("attenuation",)
    child = world.issue(**fields, allow_narrower=True).issued
    assert (child.scopes, child.sensitivity) == (("repo:read",), "moderate")


def test_a_child_on_the_task_of_a_raised_parent_is_as_sensitive(world: World) -> None:
    under(world, default_files(), scope_floors={"prod:*": "critical"})
    world.know("user:tester")
    parent = world.issue(delegator="user:tester", scopes=["prod:db"], purpose="x")
    child = world.issue(parent=parent.token)
    assert (parent.issued.sensitivity, child.issued.sensitivity) == ("critical", "critical")
    note = "sensitivity raised from moderate to critical: the chain above it is critical"
    assert note in child.issued.notes
    assert denied(world, parent=child.token) == ("depth-limit",)
    world.check()


def test_the_highest_sensitivity_of_the_chain_counts_and_not_the_parents_alone(world: World) -> None:
    """A row in between may have a lower value, from an older version or an edit."""
    world.know("user:tester")
    held: dict[str, Any] = {"kind": "opaque", "scopes": ["repo:read"], "may_audience": ("urn:a",)}
    root = world.issue(delegator="user:tester", sensitivity="critical", purpose="x", **held)
    middle = world.issue(parent=root.token, task="T1/2", sensitivity="low", **held)
    edit(world.path, "UPDATE identity SET sensitivity = 'low' WHERE parent IS NOT NULL")
    world.reopen()
    assert denied(world, parent=middle.token) == ("depth-limit",)
    under(world, (*default_files(), ("n.cedar", FORBIDS_CRITICAL)))
    for refused in (renew, attach):
        with pytest.raises(PolicyDeniedError, match="no-critical"):
            refused(world, middle.token)
    assert rules(world, middle.token, "repo:read") == ("no-critical",)
    with pytest.raises(PolicyDeniedError, match="no-critical"):
        world.issue(parent=middle.token, task="T1/2/3", sensitivity="low")


FORBIDS_CRITICAL = (
    '@id("no-critical") forbid (principal, action, resource) when { context.sensitivity == "critical" };'
)


def test_a_use_is_judged_by_the_floors_of_today(world: World) -> None:
    files = (*PERMIT_ALL, ("n.cedar", FORBIDS_CRITICAL))
    under(world, files)
    made = world.issue(scopes=["prod:write"])
    assert rules(world, made.token, "prod:write") == ()
    under(world, files, scope_floors={"prod:write:*": "critical"})
    assert rules(world, made.token, "prod:write") == ("no-critical",)


@pytest.mark.parametrize(
    ("entry", "level"),
    [
        ("https://*.example", "critical"),
        ("https://pay.example", "critical"),
        ("https://web.example", "low"),
        ("https://*.bank.example", "low"),
    ],
)
def test_a_floor_of_an_audience_holds_for_what_may_be_asked_for_later(
    world: World, entry: str, level: str
) -> None:
    terms = world.terms._replace(audience_floors={"https://pay.example": "critical"})
    judged = narrow.sensitivity("low", None, (), ("https://web.example",), terms, may_audience=(entry,))
    assert (judged.level, bool(judged.why)) == (level, level != "low")


_LEVEL = st.sampled_from(SENSITIVITIES)
_AUDIENCES = ("https://pay.example", "https://web.example", "urn:bank")
_ORIGINS = ("https://*.example", "https://pay.example", "https://*.bank.example")


@given(
    task=_LEVEL,
    scope_floors=st.dictionaries(st.sampled_from(["db:*", "db:prod", "db:prod:*", "*", "repo"]), _LEVEL),
    audience_floors=st.dictionaries(st.sampled_from(_AUDIENCES), _LEVEL),
    scopes=st.lists(st.sampled_from(["db:prod", "db:test", "db:*", "repo:read"]).map(Scope), max_size=3),
    audiences=st.lists(st.sampled_from(_AUDIENCES), max_size=3),
    later=st.lists(st.sampled_from(_ORIGINS), max_size=3),
)
@example("low", {"db:*": "moderate", "db:prod": "critical"}, {}, [Scope("db:prod")], [], [])
@example("low", {"db:*": "moderate"}, {"urn:bank": "critical"}, [Scope("db:prod")], ["urn:bank"], [])
@example("low", {}, {"https://web.example": "high", "https://pay.example": "critical"}, [], [], [_ORIGINS[0]])
def test_of_all_floors_that_hold_the_highest_one_counts(
    task: str,
    scope_floors: dict[str, str],
    audience_floors: dict[str, str],
    scopes: list[Scope],
    audiences: list[str],
    later: list[str],
) -> None:
    """The order of the floors does not matter, nor whether a scope or an audience has the floor.

    The reason names the scope or audience with the highest floor.
    """
    terms = Terms(DEFAULT_POLICY, "", "tester", scope_floors=scope_floors, audience_floors=audience_floors)
    judged = narrow.sensitivity(task, None, scopes, audiences, terms, may_audience=later)
    holding: list[tuple[str, str]] = [
        (floor, scope)
        for pattern, floor in scope_floors.items()
        for scope in scopes
        if may_overlap(Scope(pattern), scope)
    ]
    holding += [
        (floor, one)
        for named, floor in audience_floors.items()
        for one in (*audiences, *later)
        if one == named or may_reach(one, named)
    ]
    assert judged.level == max([task, *(floor for floor, _ in holding)], key=rank)
    if judged.level == task:
        assert judged.why == ""
    else:
        assert any(floor == judged.level and f"`{named}`" in judged.why for floor, named in holding)


def test_the_highest_floor_decides_about_an_issue_and_a_use(world: World) -> None:
    """The lower floor comes first, or it belongs to a scope and the higher floor to an audience."""
    files = (*PERMIT_ALL, ("n.cedar", FORBIDS_CRITICAL))
    held: dict[str, Any] = {"scopes": ["db:prod"], "may_audience": ("urn:bank",)}
    under(world, files)
    made = world.issue(**held)
    floors: tuple[dict[str, Any], ...] = (
        {"scope_floors": {"db:*": "moderate", "db:prod": "critical"}},
        {"scope_floors": {"db:*": "high"}, "audience_floors": {"urn:bank": "critical"}},
    )
    for stated in floors:
        under(world, files, scope_floors={}, audience_floors={})
        assert rules(world, made.token, "db:prod") == ()
        under(world, files, **stated)
        assert rules(world, made.token, "db:prod") == ("no-critical",)
        assert denied(world, **held) == ("no-critical",)


_STEPS = st.lists(
    st.fixed_dictionaries(
        {
            "below": st.integers(0, 9) | st.none(),
            "task": st.sampled_from(["T1", "T2", "T3", None]),
            "sensitivity": st.sampled_from([None, *SENSITIVITIES]),
            "scopes": st.lists(
                st.sampled_from(["*", "prod", "prod:*", "prod:write:*", "prod:write", "log:*"]), max_size=3
            ),
            "delegator": st.sampled_from(["user:alice", "user:tester"]),
            "renewed": st.booleans(),
        }
    ),
    min_size=1,
    max_size=10,
)
_FLOORS = st.dictionaries(
    st.sampled_from(["prod:*", "prod:write:*", "prod", "log:read"]), st.sampled_from(SENSITIVITIES)
)


@pytest.mark.deep
@settings(max_examples=60, deadline=None)
@given(steps=_STEPS, floors=_FLOORS, later=_FLOORS)
def test_no_chain_gains_proof_or_sensitivity(
    steps: list[dict[str, Any]], floors: dict[str, str], later: dict[str, str]
) -> None:
    """Below a root, all identities have its proof, and none is more sensitive than its parent."""
    with TemporaryDirectory() as folder, World(Path(folder, "ledger"), policy=PERMIT_ALL) as world:
        made: list[Made] = []
        for number, step in enumerate(steps):
            stated = later if number > len(steps) // 2 else floors
            world.terms = world.terms._replace(scope_floors=stated)
            step = dict(step)
            below, renewed = step.pop("below"), step.pop("renewed")
            if below is not None and made:
                step |= {"parent": made[below % len(made)].token, "delegator": None}
            else:
                step["task"] = step["task"] or "T1"
            try:
                one = world.issue(**step, allow_narrower=True)
            except Exception as error:  # noqa: BLE001 - any refusal means that it was not delegated
                assert type(error).__name__ in ("PolicyDeniedError", "UsageError", "InvalidCredentialError")
                continue
            made.append(one)
            if renewed:
                renew(world, one.token)
        rows = {one.id: one for one in listed(world)}
        for row in rows.values():
            if row.parent is None:
                continue
            above = rows[row.parent]
            assert row.delegator_proof == above.delegator_proof != "parent"
            assert rank(row.sensitivity) <= rank(above.sensitivity)
        world.check()


def test_the_events_tell_what_was_judged(world: World) -> None:
    under(world, PERMIT_ALL, scope_floors={"prod:*": "high"})
    made = world.issue(scopes=["prod:write:*"])
    (event,) = [each for each in world.events() if each["op"] == "issue"]
    assert (event["sensitivity"], made.issued.sensitivity) == ("high", "high")
    assert json.dumps(event["scopes"]) == '["prod:write:*"]'
