"""`explain`: the recorded decision, its inputs and rules at that time, and the decision of today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.decisions.explanation import Explanation
from jitid.capabilities.decisions.operations import Explain, StoredPolicy
from jitid.capabilities.issue.operations import Renew
from jitid.config.settings import zone
from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidCredentialError,
    NotFoundError,
    PolicyDeniedError,
    StorageError,
    UsageError,
)
from jitid.model.request import RenewRequest
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.values import strict_json
from jitid.values.secret import Secret
from tests.builders import KINDS, NOW, World, edit
from tests.capabilities.issue.office import BOTH, PAY, POLICY, Office

RULES = """// Whatever is not forbidden.
@id("all") @max_ttl("10m")
permit (principal, action, resource);
@id("no-deploy") // "quoted"
forbid (principal, action == Action::"grant", resource) when { context.scope like "deploy:*" };
"""


def enact(world: World, *files: tuple[str, str]) -> Policy:
    """Put a policy in force, in the form in which another process would read it."""
    policy = Policy(files)
    world.terms = world.terms._replace(policy=policy, policy_text=strict_json.dumps(sorted(files)))
    world.reopen()
    return policy


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a ledger whose policy is stored in the same form as by the command line."""
    with World(tmp_path / "ledger") as world:
        enact(world, ("p.cedar", RULES))
        yield world


def explained(world: World, id_: str | None = None, **named: Any) -> Explanation:
    """Explain a decision."""
    return world.authority.perform(Explain(id=id_, **named))


def refused(world: World, **fields: Any) -> Explanation:
    """Check that an issue is denied, and explain the denial."""
    with pytest.raises(PolicyDeniedError):
        world.issue(**fields)
    return explained(world, event=world.events()[-1]["seq"])


def test_an_issue_is_explained_by_all_that_was_looked_at(world: World) -> None:
    world.know("user:alice", groups=("ops",), manager="user:bob")
    made = world.issue(scopes=("repo:read",), purpose="why", ttl=3600, kind="opaque")
    found = explained(world, made.jti)
    assert (
        explained(world, made.id).event
        == explained(world, token=Secret.single(made.token)).event
        == found.event
    )
    assert (found.then.decision, found.then.rules, found.then.granted) == ("permit", ("all",), ("repo:read",))
    assert (found.then.lifetime, found.then.reason) == (600, "rule `all` permits it")
    asked = found.request
    assert asked is not None
    assert (asked.agent, asked.delegator, asked.task, asked.purpose) == ("planner", "user:alice", "T1", "why")
    assert (asked.kind, asked.depth, asked.lifetime, asked.now) == ("opaque", 0, 3600, NOW)
    assert (asked.standing.known, asked.standing.groups, asked.standing.manager) == (
        True,
        ("ops",),
        "user:bob",
    )
    (rule,) = found.rules
    assert (rule.rule, rule.file, rule.line, rule.effect, rule.now) == ("all", "p.cedar", 2, "permit", "same")
    assert rule.text == '@id("all") @max_ttl("10m")\npermit (principal, action, resource);'
    assert (found.lost, found.trouble, found.differences) == (None, None, ())
    assert found.policy_now == found.document["policy"] == world.terms.policy.digest
    assert found.now == found.then


def test_a_rule_is_hashed_as_it_stands(world: World) -> None:
    """`sha256sum` over the shown text gives the same hash."""
    from hashlib import sha256

    (rule,) = explained(world, world.issue().jti).rules
    assert rule.sha256 == sha256(rule.text.encode()).hexdigest()


def test_a_denial_is_explained_by_its_event(world: World) -> None:
    found = refused(world, scopes=("repo:read", "deploy:web"))
    assert (found.then.decision, found.then.rules, found.credential) == ("deny", ("no-deploy",), None)
    assert "rule `no-deploy` forbids it: scope `deploy:web`" in found.then.reason
    assert [(rule.rule, rule.line, rule.now) for rule in found.rules] == [("no-deploy", 4, "same")]
    assert '@id("no-deploy") // "quoted"\nforbid' in found.rules[0].text
    assert found.now is not None
    assert (found.now.decision, found.differences) == ("deny", ())
    assert found.nearest is not None


def test_what_another_rule_decides_today_is_told(world: World) -> None:
    made = world.issue(scopes=("repo:read",), ttl=600)
    old = world.terms.policy.digest
    new = enact(world, ("p.cedar", RULES.replace("10m", "5m").replace("deploy:*", "prod:*")))
    found = explained(world, made.jti)
    assert found.now is not None
    assert (found.now.decision, found.now.lifetime) == ("permit", 300)
    assert [(rule.rule, rule.now) for rule in found.rules] == [("all", "changed")]
    assert {each.what: (each.then, each.now) for each in found.differences} == {
        "lifetime": ("10m", "5m"),
        "policy": (old, new.digest),
    }
    enact(world, ("other.cedar", '@id("none") forbid (principal, action, resource);'))
    found = explained(world, made.jti)
    assert found.now is not None
    assert (found.now.decision, found.rules[0].now) == ("deny", "gone")
    assert "decision" in {each.what for each in found.differences}


def test_who_is_known_by_now_is_a_difference(world: World) -> None:
    made = world.issue()
    world.know("user:alice", groups=("ops",))
    differences = {each.what: (each.then, each.now) for each in explained(world, made.jti).differences}
    assert differences == {"standing.known": ("false", "true"), "standing.groups": ("none", "ops")}


def test_what_the_directory_refuses_today_is_no_rule_of_the_policy(world: World) -> None:
    made = world.issue(agent="nightly")
    world.know("user:alice", disabled_at=NOW)
    world.register("nightly", suspended_at=NOW, suspended_as="odd")
    found = explained(world, made.jti)
    assert found.now is not None
    assert found.now.decision == "deny"
    assert set(found.now.rules) == {"delegator-disabled", "agent-suspended"}
    denied = refused(world, agent="nightly", task="T2")
    assert (denied.then.decision, denied.rules) == ("deny", ())


def test_a_kind_to_obtain_that_the_record_lacks_today_is_refused(world: World) -> None:
    enact(world, ("all.cedar", '@id("all") permit(principal, action, resource);\n' + KINDS))
    world.register(kinds=("jwt", "opaque", "ssh-cert"))
    usual, more = world.issue(), world.issue(task="T2", may_kind=("jwt", "ssh-cert"))
    world.register(kinds=("jwt",))
    then = explained(world, usual.jti).now
    assert then is not None
    assert then.decision == "permit"
    now = explained(world, more.jti).now
    assert now is not None
    assert (now.decision, now.rules) == ("deny", ("agent-kind",))
    assert "not `ssh-cert`" in now.reason


def test_details_of_whoever_is_limited_to_scopes_today(world: World) -> None:
    made = world.issue(details=[{"type": "iam"}])
    before = explained(world, made.jti).now
    assert before is not None
    assert before.decision == "permit"
    world.know(entitlements=("repo:*",))
    now = explained(world, made.jti).now
    assert now is not None
    assert (now.decision, now.rules) == ("deny", ("delegator-entitlement",))


def test_what_stands_above_counts_today(world: World) -> None:
    parent = world.issue(agent="boss", scopes=("repo:*",))
    child = world.issue(parent=parent.token, scopes=("repo:read",))
    assert explained(world, child.jti).now == explained(world, child.jti).then
    world.register("boss", suspended_at=NOW, suspended_as="odd")
    found = explained(world, child.jti)
    assert found.now is not None
    assert found.now.decision == "deny"
    assert "boss" in found.now.reason


def test_a_renewal_is_the_latest_decision_of_an_identity(world: World) -> None:
    made = world.issue(ttl=120)
    world.clock.now += 60
    renewed = world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token)))).credentials[0]
    assert explained(world, made.id).document["op"] == "renew"
    assert explained(world, renewed.jti).document["op"] == "renew"
    assert explained(world, made.jti).document["op"] == "issue"


def test_the_hour_of_then_and_of_today(world: World) -> None:
    hours = RULES + '@id("hours") forbid (principal, action, resource) when { context.hour < 12 };'
    enact(world, ("p.cedar", hours))
    world.terms = world.terms._replace(zone=zone("Europe/Berlin"), zone_name="Europe/Berlin")
    world.reopen()
    made = world.issue()
    world.clock.now += 12 * 3600
    world.terms = world.terms._replace(zone=None, zone_name=None)
    world.reopen()
    found = explained(world, made.jti)
    assert found.now is not None
    assert (found.then.decision, found.now.decision, found.now.rules) == ("permit", "deny", ("hours",))
    assert ("zone", "Europe/Berlin", "UTC") in found.differences


def test_an_approval_is_told_and_still_counts(tmp_path: Path) -> None:
    with Office(tmp_path / "ledger") as office:
        enact(office, ("p.cedar", POLICY))
        id_ = office.ask(**PAY)
        asking = explained(office, event=office.events()[-1]["seq"])
        assert (asking.then.decision, asking.then.needs) == ("approval", ("security",))
        assert [rule.rule for rule in asking.rules] == ["pay-needs-security"]
        office.grant(id_)
        found = explained(office, office.issue(**PAY).jti)
        assert found.document["approvers"].keys() == {"security"}
        reason = f"{found.then.reason}, with the earlier approval; a new request requires one by `security`"
        assert (found.then.decision, found.now) == ("permit", found.then._replace(reason=reason))
        assert "pay-needs-security" in [rule.rule for rule in found.rules]
        office.ask(**BOTH)
        both = explained(office, event=office.events()[-1]["seq"])
        assert both.then.needs == ("finance", "security")


@pytest.mark.parametrize(
    ("id_", "error"),
    [
        ("jti_" + "0" * 26, NotFoundError),
        ("jid_" + "0" * 26, NotFoundError),
        ("jti_nonsense", UsageError),
        ("no id at all", UsageError),
    ],
)
def test_an_id_that_is_not_there_is_told(id_: str, error: type[Exception], world: World) -> None:
    with pytest.raises(error):
        explained(world, id_)


@pytest.mark.parametrize("event", [0, -1, 10**6, 2**63, 10**30])
def test_an_event_that_is_not_there_is_told(event: int, world: World) -> None:
    with pytest.raises(NotFoundError, match="the audit log has no event"):
        explained(world, event=event)


def test_an_event_of_something_else_is_told(world: World) -> None:
    with pytest.raises(UsageError, match="event 1 is not a decision: its operation is `init`"):
        explained(world, event=1)


def test_a_token_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(InvalidCredentialError):
        explained(world, token=Secret.single("x.y.z"))
    with pytest.raises(InvalidCredentialError):
        world.issue(parent="x.y.z")
    # The event of this denial records no request.
    found = explained(world, event=world.events()[-1]["seq"])
    assert (found.then.decision, found.request, found.now, found.rules) == ("deny", None, None, ())
    assert found.then.reason


CHANGES = {
    "DELETE FROM policy": "the ledger does not have the text of the policy",
    "UPDATE policy SET text = replace(text, 'all', 'ALL')": "does not match its digest",
    "UPDATE policy SET text = 'nonsense'": "does not match its digest",
    "UPDATE policy SET text = '[1, 2]'": "does not match its digest",
    "UPDATE policy SET text = '[[1, 2]]'": "does not match its digest",
    "UPDATE policy SET text = '{}'": "does not match its digest",
    "UPDATE policy SET text = '7'": "does not match its digest",
    "UPDATE policy SET text = CAST(x'ff00' AS BLOB)": "does not match its digest",
    "UPDATE policy SET text = ''": "does not match its digest",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_policy_that_was_lost_or_changed_in_the_ledger_is_told(change: str, world: World) -> None:
    """The lost policy is not reconstructed, and the recorded decision remains."""
    made = world.issue(scopes=("repo:read",))
    digest = world.terms.policy.digest
    edit(world.path, change)
    found = explained(world, made.jti)
    assert found.lost is not None
    assert CHANGES[change] in found.lost
    assert digest in found.lost
    assert (found.then.decision, found.then.rules, found.then.granted) == ("permit", ("all",), ("repo:read",))
    assert found.rules == ()
    assert found.now is not None
    assert found.now.decision == "permit"
    with pytest.raises(NotFoundError if "DELETE" in change else IntegrityError):
        world.authority.perform(StoredPolicy(digest=digest[:8]))


def test_a_policy_that_this_jitid_cannot_read_is_told(world: World) -> None:
    """An older jitid may have accepted such a policy."""
    made = world.issue()
    files = [["p.cedar", "permit (principal, action, resource);"]]
    from jitid.policy.policy_text import digest_of

    digest = digest_of([("p.cedar", files[0][1])])
    edit(
        world.path,
        f"UPDATE policy SET digest = '{digest}', text = '{json.dumps(files)}'",
        f"UPDATE audit_event SET body = CAST(replace(CAST(body AS TEXT), '{world.terms.policy.digest}', '{digest}') "
        "AS BLOB)",
    )
    found = explained(world, made.jti)
    assert found.lost is not None
    assert "this version of jitid cannot read the policy of the decision" in found.lost
    assert found.rules == ()


@pytest.mark.parametrize("error", [ConfigurationError, IntegrityError, StorageError])
def test_where_todays_policy_cannot_be_read_the_past_is_told(error: type[Exception], world: World) -> None:
    made = world.issue()

    def broken() -> Any:
        raise error("`x.cedar`, line 3: nonsense")

    world.authority._read_terms = broken
    world.authority._terms = None
    found = explained(world, made.jti)
    assert (found.then.decision, found.now, found.policy_now) == ("permit", None, None)
    assert found.trouble == "`x.cedar`, line 3: nonsense"
    assert [rule.now for rule in found.rules] == ["unknown"]


def test_the_stored_policy_is_found_by_how_its_digest_begins(world: World) -> None:
    world.issue()
    first = world.terms.policy.digest
    second = enact(world, *default_files()).digest
    world.issue(task="T2")

    def stored(digest: str) -> Any:
        return world.authority.perform(StoredPolicy(digest=digest))

    assert stored(first[:12].upper()) == stored(first) == (("p.cedar", RULES),)
    assert stored(second[:12]) == default_files()
    for digest in ("", "abc", "xyz1", first + "0", f"{first[:8]}%"):
        with pytest.raises(UsageError):
            stored(digest)
    with pytest.raises(NotFoundError):
        stored("0" * 64)
