"""Authorization: an action needs a valid credential, its scopes, and the current directory and policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue import narrow
from jitid.capabilities.issue.operations import Attach, Issue, Renew
from jitid.capabilities.use.authorization import (
    LONGEST,
    NO_SCOPE,
    RecordedUses,
    UseRequest,
    UseVerdict,
    check_action,
    check_context,
    check_resource,
    covering,
)
from jitid.capabilities.use.operations import Authorize, ListUses
from jitid.config.settings import zone
from jitid.errors import PolicyDeniedError, UsageError
from jitid.model.request import AttachRequest, RenewRequest
from jitid.model.use import UseFilter
from jitid.operation.context import Terms
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.values import strict_json
from jitid.values.scope import Scope, covers, parse_scope
from jitid.values.secret import Secret
from tests.builders import DEFAULT_POLICY, NAMES, NOW, PERMIT_ALL, Made, World, request
from tests.capabilities.issue.office import PAY, Office
from tests.values.hostile import NAUGHTY

GRANT_ALL = (
    '@id("issues") permit (principal, action == Action::"issue", resource);'
    '@id("grants") permit (principal, action == Action::"grant", resource);'
)


def asked(
    made: Made | str, action: str = "repo:read", resource: str = "acme/web", context: Any = None
) -> UseRequest:
    """Return the request for an action with a token."""
    token = made if isinstance(made, str) else made.token
    said = {} if context is None else {"context": check_context(context)}
    return UseRequest(Secret.single(token), check_action(action), check_resource(resource), **said)


def decided(world: World, *those: UseRequest, **fields: Any) -> RecordedUses:
    """Decide on actions, and check the ledger afterwards."""
    done = world.authority.perform(Authorize(asked=those, **fields))
    world.check()
    return done


def verdict(world: World, made: Made | str, *stated: Any, **fields: Any) -> UseVerdict:
    """Return the verdict on one action."""
    (one,) = decided(world, asked(made, *stated, **fields)).verdicts
    return one


def rules(world: World, made: Made, *stated: Any, **fields: Any) -> tuple[str, ...]:
    """Check that an action is denied for another reason than its token; return the rules."""
    one = verdict(world, made, *stated, **fields)
    assert not one.allowed
    assert one.valid
    assert one.reason
    return one.rules


def repoliced(world: World, *texts: str, **terms: Any) -> None:
    """Continue under another policy."""
    files = [(f"{number}.cedar", text) for number, text in enumerate(texts)]
    world.terms = world.terms._replace(policy=Policy(files), policy_text=strict_json.dumps(files), **terms)
    world.reopen()


# Scopes

SCOPES = {
    "repo:read": True,
    "repo:*": True,
    "*:read": True,
    "repo:read:acme/web": True,
    "repo:read:acme/*": True,
    "*:*:*": True,
    "repo:write": False,
    "repo": False,
    "*": False,
    "repo:read:acme/api": False,
    "repo:write:acme/web": False,
    "repo:read:acme/web:more": False,
    "*:*:*:*": False,
}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_covers_the_action_alone_or_with_its_resource(scope: str, lenient: World) -> None:
    made = lenient.issue(scopes=(scope,))
    one = verdict(lenient, made)
    assert one.allowed is SCOPES[scope]
    assert one.scope == (scope if SCOPES[scope] else None)
    if not one.allowed:
        assert one.rules == (NO_SCOPE,)


def test_without_scopes_nothing_is_covered(world: World) -> None:
    assert rules(world, world.issue()) == (NO_SCOPE,)


@pytest.mark.parametrize("resource", ["arn:aws:s3:::bucket/key", "a b", "naïve", "a*b", "x" * 300, "\x1b"])
def test_a_resource_that_stands_in_no_scope_is_covered_by_the_action_alone(
    resource: str, lenient: World
) -> None:
    made = lenient.issue(scopes=("s3:Get*", "*:*:*"))
    assert verdict(lenient, made, "s3:GetObject", resource).scope == "s3:Get*"
    assert rules(lenient, lenient.issue(scopes=("*:*:*",)), "s3:GetObject", resource) == (NO_SCOPE,)


def test_the_narrowest_scope_is_the_one_that_is_used(lenient: World) -> None:
    made = lenient.issue(scopes=("repo:read", "*:*:*", "repo:read:acme/web"))
    assert verdict(lenient, made).scope == "repo:read"
    made = lenient.issue(scopes=("repo:*", "repo:*:acme/web"))
    assert verdict(lenient, made).scope == "repo:*:acme/web"


_SEGMENT = st.sampled_from(["a", "b", "ab", "a*", "*"])
_SCOPE = st.lists(_SEGMENT, min_size=1, max_size=4).map(lambda parts: parse_scope(":".join(parts)))
_PLAIN = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map(":".join)


@given(
    scopes=st.lists(_SCOPE, max_size=4, unique=True), action=_PLAIN, resource=st.one_of(_PLAIN, st.just("::"))
)
def test_what_covers_an_action_covers_it_as_a_scope(scopes: list[Scope], action: str, resource: str) -> None:
    """The law: the scopes that cover an action are the scopes from which the action could be delegated."""
    found = covering(scopes, parse_scope(action), resource)
    rights = [parse_scope(action)] + ([parse_scope(f"{action}:{resource}")] if resource != "::" else [])
    assert set(found) == {scope for scope in scopes if any(covers(scope, right) for right in rights)}
    assert len(found) == len(set(found))


# The token, its task and its lineage


@settings(max_examples=400)
@given(
    floor=_SCOPE,
    held=st.lists(_SCOPE, min_size=1, max_size=3, unique=True),
    action=_PLAIN,
    resource=st.one_of(_PLAIN, st.lists(_SEGMENT, min_size=1, max_size=3).map(":".join), st.just("a b")),
)
def test_what_a_floor_covers_is_judged_by_it_whatever_scope_is_used(
    floor: Scope, held: list[Scope], action: str, resource: str
) -> None:
    """The law: if a held scope and a floor both cover an action, the credential was issued at the floor's level."""
    if covering(held, parse_scope(action), resource) and covering([floor], parse_scope(action), resource):
        terms = Terms(DEFAULT_POLICY, "", "tester", scope_floors={floor: "critical"})
        assert narrow.sensitivity("low", None, held, (), terms).level == "critical"


def test_a_floor_is_not_passed_by_one_more_segment_nor_by_one_less(lenient: World) -> None:
    lenient.terms = lenient.terms._replace(scope_floors={"prod:*": "critical", "db:drop:*": "critical"})
    for scope, action in (("prod:write:*", "prod:write"), ("db:*", "db:drop"), ("db:drop", "db:drop")):
        made = lenient.issue(task=scope.replace("*", "any"), scopes=(scope,), sensitivity="low")
        assert made.issued.sensitivity == "critical"
        assert verdict(lenient, made, action, "x").allowed
    assert lenient.issue(task="T2", scopes=("db:read",), sensitivity="low").issued.sensitivity == "low"


def test_a_token_that_is_not_valid_is_denied_and_recorded_with_its_holder(world: World) -> None:
    made = world.issue(scopes=("repo:read",))
    world.revoke(made.id)
    one = verdict(world, made)
    assert (one.allowed, one.valid, one.rules) == (False, False, ())
    assert one.reason is not None
    assert one.reason.startswith("the credential was revoked")
    assert one.credential is not None
    assert one.credential.jti == made.jti
    (row,) = world.authority.perform(ListUses(chosen=UseFilter(), limit=9)).uses
    assert (row.jti, row.allowed, row.reason, row.scope) == (made.jti, False, one.reason, None)


@pytest.mark.parametrize("token", ["x", "a.b.c", "jitid_" + "0" * 38, "x" * 20_000])
def test_a_token_of_nobodys_is_denied_and_recorded(token: str, world: World) -> None:
    one = verdict(world, token)
    assert (one.allowed, one.valid, one.credential) == (False, False, None)
    (row,) = world.authority.perform(ListUses(chosen=UseFilter(), limit=9)).uses
    assert (row.jti, row.agent, row.reason) == (None, None, one.reason)
    assert len(token) < 3 or token not in str(world.events())


def test_the_chain_is_told_and_lives_and_dies_with_its_root(world: World) -> None:
    made = world.chain(3, scopes=["repo:*"])
    one = verdict(world, made[-1])
    assert one.allowed
    assert [ancestor.agent for ancestor in one.lineage] == ["agent-1", "planner"]
    world.revoke(made[0].id)
    assert not verdict(world, made[-1]).valid
    page = world.authority.perform(ListUses(chosen=UseFilter(), limit=9))
    assert [one.agent for one in page.lineages[page.uses[0].identity_key or 0]] == ["agent-1", "planner"]


def test_an_audience_is_asked_for_as_verify_asks(world: World) -> None:
    made = world.issue(scopes=("repo:read",), audiences=("urn:a",))
    assert not verdict(world, made).valid
    (one,) = decided(world, asked(made), audiences=("urn:b", "urn:a")).verdicts
    assert one.allowed


def test_each_of_many_has_its_own_answer(lenient: World) -> None:
    good, other = lenient.issue(scopes=("repo:read",)), lenient.issue(scopes=("log:read",), kind="opaque")
    those = [
        asked(good),
        asked("x"),
        asked(other),
        asked(other, "log:read"),
        asked(good, "repo:write"),
        asked(good),
    ]
    done = decided(lenient, *those)
    assert [one.allowed for one in done.verdicts] == [True, False, False, True, False, True]
    event = lenient.events()[-1]
    assert (event["op"], event["seq"], event["count"], event["allowed"]) == ("use", done.event, 6, 3)
    assert event["policy"] == lenient.terms.policy.digest
    rows = lenient.authority.perform(ListUses(chosen=UseFilter(event=done.event), limit=9)).uses
    assert [row.allowed for row in rows] == [one.allowed for one in done.verdicts]


# The directory


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("know", {"disabled_at": NOW}, "delegator-disabled"),
    ("know", {"sensitivity": "low"}, "delegator-sensitivity"),
    ("know", {"entitlements": ("repo:read:acme/api", "log:*")}, "delegator-entitlement"),
    ("know", {"entitlements": ()}, "delegator-entitlement"),
    ("register", {"suspended_at": NOW}, "agent-suspended"),
    ("register", {"unregistered_at": NOW}, "agent-unregistered"),
    ("register", {"review_at": NOW}, "agent-overdue"),
    ("register", {"kinds": ("opaque",)}, "agent-kind"),
    ("register", {"audiences": ("urn:a",)}, "agent-audience"),
    ("register", {"scopes": ("log:*",)}, "agent-scope"),
]


@pytest.mark.parametrize(("verb", "fields", "rule"), CHANGES)
def test_what_the_directory_says_now_binds(
    verb: str, fields: dict[str, Any], rule: str, world: World
) -> None:
    """The directory's data at the time of issue does not matter."""
    # An identity token is for the authority, which no record forbids.
    at = {"audiences": ("urn:b",)} if rule == "agent-audience" else {}
    made = world.issue(scopes=("repo:*",), **at)
    assert decided(world, asked(made), **at).verdicts[0].allowed
    getattr(world, verb)(**fields)
    (one,) = decided(world, asked(made), **at).verdicts
    assert (one.allowed, one.valid, one.rules) == (False, True, (rule,))


def test_a_limit_is_asked_for_the_action_and_not_for_the_scope(world: World) -> None:
    """An action within both limits is allowed, even if the agent's scope is wider than either limit."""
    made = world.issue(scopes=("repo:*",))
    world.know(entitlements=("repo:read",))
    world.register(scopes=("*:*:acme/web", "repo:read"))
    assert verdict(world, made).allowed
    assert rules(world, made, "repo:write", "acme/api") == ("delegator-entitlement", "agent-scope")


def test_an_agent_in_the_chain_must_be_in_service(world: World) -> None:
    made = world.chain(3, scopes=["repo:*"])
    world.register("agent-1", suspended_at=NOW)
    assert rules(world, made[-1]) == ("agent-suspended",)
    assert verdict(world, made[0]).allowed


RECORDS: dict[str, dict[str, Any]] = {
    "suspended": {"suspended_at": NOW},
    "overdue": {"review_at": NOW},
    "fewer scopes": {"scopes": ("log:*", "repo:write")},
    "other scopes": {"scopes": ("repo:read",)},
    "other audiences": {"audiences": ("urn:b",)},
    "other kinds": {"kinds": ("opaque",)},
    "nothing": {},
}


@pytest.mark.parametrize("level", range(3))
@pytest.mark.parametrize("change", RECORDS)
def test_what_would_not_be_issued_now_is_not_allowed(world: World, change: str, level: int) -> None:
    """This holds for each agent of the chain. Authorization, a dry run and an attachment give the same result."""
    names = ["planner", "agent-1", "agent-2"]
    for name in names:
        world.register(name, audiences=("urn:a",))
    wide: dict[str, Any] = {"scopes": ["repo:read"], "may_audience": ("urn:a",)}
    parent, above = None, world.issue(**wide)
    for name in names[1:]:
        parent, above = above, world.issue(parent=above.token, agent=name, **wide)
    assert parent is not None
    held = world.issue(parent=parent.token, agent="agent-2", scopes=["repo:read"], audiences=("urn:a",))
    world.register(names[level], **RECORDS[change])
    (one,) = decided(world, asked(held), audiences=("urn:a",)).verdicts

    def is_refused(*operation: Any) -> bool:
        try:
            world.authority.perform(*operation)
        except PolicyDeniedError:
            return True
        return False

    further = AttachRequest(Secret.single(above.token), "jwt", audiences=("urn:a",))
    anew = request(parent=parent.token, agent="agent-2", scopes=["repo:read"], audiences=("urn:a",))
    refused = [is_refused(Attach(request=further)), is_refused(Issue(requests=(anew,), dry_run=True))]
    assert refused == [not one.allowed] * 2
    assert one.allowed is (change in ("nothing", "other scopes"))


PAIRS: dict[str, tuple[dict[str, Any], tuple[str, dict[str, Any]]]] = {
    "delegator": ({"delegator": "user:bob"}, ("know", {"name": "user:bob", "disabled_at": NOW})),
    "agent": ({"agent": "coder"}, ("register", {"name": "coder", "suspended_at": NOW})),
    "sensitivity": ({"task": "T2", "sensitivity": "high"}, ("know", {"sensitivity": "moderate"})),
    "kind": ({"kind": "opaque"}, ("register", {"kinds": ("jwt",)})),
    "audience": ({"audiences": ("urn:a",)}, ("register", {"audiences": (NAMES.issuer,)})),
    "chain": ({"through": "middle"}, ("register", {"name": "middle", "suspended_at": NOW})),
}


@pytest.mark.parametrize("what", PAIRS)
@pytest.mark.parametrize("first", ["the one", "the other"])
def test_what_refuses_one_refuses_no_other_that_is_asked_with_it(
    lenient: World, what: str, first: str
) -> None:
    """Cached data does not mix them: they differ in one property, and only this property is refused."""
    fields, (verb, change) = PAIRS[what]
    made = []
    for more in ({}, fields):
        plain = {"scopes": ("repo:*",), **more}
        parents = [plain.pop("through")] if "through" in plain else []
        if what == "chain":
            parent = lenient.issue(scopes=("repo:*",), agent="root")
            for agent in parents:
                parent = lenient.issue(parent=parent.token, scopes=("repo:*",), agent=agent)
            plain["parent"] = parent.token
        made.append(lenient.issue(**plain))
    good, bad = made
    getattr(lenient, verb)(**change)
    ordered = (good, bad) if first == "the one" else (bad, good)
    done = decided(lenient, *map(asked, ordered), audiences=(NAMES.issuer, "urn:a"))
    allowed = {made.jti: one.allowed for made, one in zip(ordered, done.verdicts, strict=True)}
    assert allowed == {good.jti: True, bad.jti: False}


def test_only_known_delegators_are_served_where_that_is_set(world: World) -> None:
    made = world.issue(scopes=("repo:read",))
    world.terms = world.terms._replace(known_delegators_only=True)
    world.reopen()
    assert rules(world, made) == ("delegator-unknown",)
    world.know()
    assert verdict(world, made).allowed


# The policy


def test_the_policy_is_asked_as_it_is_now(lenient: World) -> None:
    made = lenient.issue(scopes=("repo:read", "log:read"))
    assert verdict(lenient, made).rules == ("all",)
    no_repo = '@id("no-repo") forbid (principal, action == Action::"grant", resource == Scope::"repo:read");'
    repoliced(lenient, GRANT_ALL, no_repo)
    assert rules(lenient, made) == ("no-repo",)
    assert verdict(lenient, made, "log:read").allowed
    repoliced(lenient, '@id("grants") permit (principal, action == Action::"grant", resource);')
    assert rules(lenient, made) == ("default-deny",)


def test_another_scope_that_covers_it_will_do(lenient: World) -> None:
    made = lenient.issue(scopes=("repo:read", "repo:read:acme/web"))
    no_plain = (
        '@id("no-plain") forbid (principal, action == Action::"grant", resource == Scope::"repo:read");'
    )
    repoliced(lenient, GRANT_ALL, no_plain)
    assert verdict(lenient, made).scope == "repo:read:acme/web"


def test_the_hour_is_that_of_the_use_in_the_zone(lenient: World) -> None:
    """NOW is noon in UTC, on a Tuesday."""
    made = lenient.issue(scopes=("repo:read",))
    morning = '@id("morning") forbid (principal, action, resource) when { context.hour >= 12 };'
    repoliced(lenient, *(text for _, text in PERMIT_ALL), morning)
    assert rules(lenient, made) == ("morning",)
    repoliced(
        lenient,
        *(text for _, text in PERMIT_ALL),
        morning,
        zone=zone("America/New_York"),
        zone_name="America/New_York",
    )
    assert verdict(lenient, made).allowed
    assert lenient.events()[-1]["zone"] == "America/New_York"


def test_the_standing_is_that_of_now(lenient: World) -> None:
    made = lenient.issue(scopes=("repo:read",))
    crew = '@id("crew") permit (principal, action, resource) when { context.delegator in Group::"crew" };'
    repoliced(lenient, crew)
    assert rules(lenient, made) == ("default-deny",)
    lenient.know(groups=("crew",))
    assert verdict(lenient, made).rules == ("crew",)


def test_a_rule_about_use_sees_action_resource_and_context(world: World) -> None:
    made = world.issue(scopes=("repo:*",))
    default = [text for _, text in default_files()]
    office = """
        @id("office") forbid (principal, action == Action::"authorize", resource)
        unless { context.use has ip && context.use.ip like "192.0.2.*" };
        @id("sealed") forbid (principal, action == Action::"authorize", resource == Resource::"vault");
        @id("writes") forbid (principal, action == Action::"authorize", resource)
        when { context.action == "repo:write" && context.task == "T1" };"""
    repoliced(world, *default, office)
    inside = {"ip": "192.0.2.7"}
    assert verdict(world, made, context=inside).allowed
    assert rules(world, made) == ("office",)
    assert rules(world, made, context={"ip": "198.51.100.7"}) == ("office",)
    assert rules(world, made, "repo:read", "vault", inside) == ("sealed",)
    assert rules(world, made, "repo:write", "acme/web", inside) == ("writes",)
    assert "`repo:write` on `acme/web`" in str(verdict(world, made, "repo:write", "acme/web", inside).reason)


def test_where_a_rule_permits_use_another_must_not_be_missing(world: World) -> None:
    made = world.issue(scopes=("repo:*",))
    reads = """@id("reads") permit (principal, action == Action::"authorize", resource)
        when { context.action like "*:read" };"""
    repoliced(world, *(text for _, text in default_files()), reads)
    assert verdict(world, made).allowed
    assert rules(world, made, "repo:write") == ("default-deny",)


@pytest.mark.parametrize(
    "context",
    [{"ip": 1.5}, {"ip": None}, {"ip": {"__extn": {"fn": "ip", "arg": "x"}}}, {"__entity": {}}, {"ip": 7}],
)
def test_a_context_that_the_policy_cannot_take_is_denied(context: Any, world: World) -> None:
    made = world.issue(scopes=("repo:*",))
    use = '@id("local") permit (principal, action == Action::"authorize", resource) when { context.use.ip == "::1" };'
    repoliced(world, *(text for _, text in default_files()), use)
    assert verdict(world, made, context={"ip": "::1"}).allowed
    assert not verdict(world, made, context=context).allowed


def test_a_credential_that_is_older_than_the_policy_lets_it_become_is_denied(lenient: World) -> None:
    made = lenient.issue(scopes=("repo:read",), ttl=3600)
    lenient.clock.now += 600
    repoliced(lenient, GRANT_ALL.replace('@id("issues")', '@id("issues") @max_ttl("10m")'))
    assert rules(lenient, made) == ("issues",)
    fresh = lenient.issue(scopes=("repo:read",))
    assert verdict(lenient, fresh).allowed


def test_a_renewed_credential_is_used_as_the_first_was(world: World) -> None:
    made = world.issue(scopes=("repo:read",))
    world.clock.now += 60
    renewed = world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token))))
    world.clock.now += 60
    assert verdict(world, renewed.credentials[0].secret.reveal()).allowed
    assert not verdict(world, made).valid
    (used,) = world.authority.perform(Inspect(id=made.id)).used
    assert (used.scope, used.uses) == ("repo:read", 1)


# Approved requests


@pytest.mark.parametrize("action", ["issue", "grant", "authorize"])
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_what_was_approved_at_the_issue_is_approved_for_the_use(
    action: str, effect: str, tmp_path: Path
) -> None:
    with Office(tmp_path / "ledger") as office:
        office.grant(office.ask(**PAY))
        approved, other = office.issue(**PAY), office.issue(scopes=("repo:read",), task="T2")
        plain = "".join(
            f'@id("{name}s") permit (principal, action == Action::"{name}", resource);'
            for name in ("issue", "grant", "authorize")
            if effect == "forbid" or name != action
        )
        step_up = f"""@id("step-up") @approval("security")
            {effect} (principal, action == Action::"{action}", resource);"""
        repoliced(office, plain, step_up)
        assert verdict(office, approved, "pay:out").allowed
        assert rules(office, other) == (("default-deny",) if effect == "permit" else ("step-up",))
        done = decided(office, asked(other), asked(approved, "pay:out"), asked(other))
        assert [one.allowed for one in done.verdicts] == [False, True, False]
        # The approval lasts as long as the identity, though the grant itself was short-lived.
        office.clock.now = approved.issued.expires_at - 1
        assert verdict(office, approved, "pay:out").allowed
        repoliced(office, plain, step_up.replace("security", "finance"))
        assert not verdict(office, approved, "pay:out").allowed


# The request


@pytest.mark.parametrize(
    "text", ["", " ", "s3:*", "*", "a b", "a::b", "é", "x" * 300, "\0", ":".join("a" * 17)]
)
def test_an_action_is_one_thing_in_the_form_of_a_scope(text: str) -> None:
    with pytest.raises(UsageError):
        check_action(text)


@pytest.mark.parametrize("text", ["", " \n", "\0", "a\0b", "x" * (LONGEST + 1), "é" * LONGEST, "\ud800"])
def test_a_resource_is_text_that_a_ledger_can_keep(text: str) -> None:
    with pytest.raises(UsageError):
        check_resource(text)


@pytest.mark.parametrize("value", [None, [], "x", 1, {"x": "y" * LONGEST}, {"x": float("nan")}])
def test_a_context_is_a_short_object(value: object) -> None:
    with pytest.raises(UsageError):
        check_context(value)


def test_a_token_is_refused_wherever_it_does_not_belong(world: World) -> None:
    for kind in ("jwt", "opaque"):
        token = world.issue(kind=kind).token
        for check in (check_action, check_resource, lambda text: check_context({"x": text})):
            with pytest.raises(UsageError) as caught:
                check(token)
            assert token not in f"{caught.value.message} {caught.value.hint}"


def test_a_resource_may_be_any_text(lenient: World) -> None:
    """The text is stored unchanged, and is data for the policy."""
    texts = [text for text in NAUGHTY if text.strip() and "\0" not in text and len(text.encode()) <= LONGEST]
    made = lenient.issue(scopes=("repo:read",))
    sealed = '@id("sealed") forbid (principal, action == Action::"authorize", resource == Resource::"vault");'
    repoliced(lenient, *(text for _, text in PERMIT_ALL), sealed)
    done = decided(
        lenient, *(asked(made, "repo:read", text) for text in texts), asked(made, "repo:read", "vault")
    )
    assert [one.allowed for one in done.verdicts] == [True] * len(texts) + [False]
    page = lenient.authority.perform(ListUses(chosen=UseFilter(), limit=len(texts) + 1))
    assert [one.resource for one in page.uses] == [*texts, "vault"]


def test_many_together_are_judged_as_each_is_alone(world: World) -> None:
    readers = [world.issue(scopes=("repo:read", "db:*"), task=f"T{number}") for number in range(3)]
    dead = world.issue(scopes=("repo:read",), task="T9")
    world.revoke(dead.id)
    holders: list[Made | str] = [*readers, dead, "no token"]
    sealed = """@id("sealed") forbid (principal, action == Action::"authorize", resource)
        when { resource == Resource::"sealed" || context.use has bad };"""
    repoliced(world, *(text for _, text in default_files()), sealed)
    many = [
        asked(made, action, resource, context)
        for made in holders
        for action in ("repo:read", "repo:write", "db:drop")
        for resource, context in (
            ("open", None),
            ("sealed", None),
            ("open", {"bad": 1}),
            ("open", {"x": None}),
        )
    ]
    together = decided(world, *many).verdicts
    assert [one.allowed for one in together].count(True) == 3 * 2
    assert together == [decided(world, one).verdicts[0] for one in many]
